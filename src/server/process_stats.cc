#include "server/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace isotope::server {
namespace {

/// Seconds since 1970 at which the system was started.
std::optional<double> boot_seconds() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  return std::nullopt;
}

/// proc(5), /proc/pid/stat: fields are counted from 1, and the second may hold spaces.
void read_stat(ProcessStats& stats) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  double user = 0, system = 0, started = 0;
  std::int64_t virtual_bytes = 0, resident_pages = 0;
  fields >> user >> system;
  for (int i = 16; i < 22; ++i) fields >> skipped;
  fields >> started >> virtual_bytes >> resident_pages;
  if (!fields) return;
  const double ticks = double(sysconf(_SC_CLK_TCK));
  stats.cpu_seconds = (user + system) / ticks;
  if (const auto boot = boot_seconds()) stats.start_seconds = *boot + started / ticks;
  stats.virtual_bytes = virtual_bytes;
  stats.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace

ProcessStats process_stats() {
  ProcessStats stats;
  read_stat(stats);
  std::error_code error;
  std::int64_t count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error))
    ++count;
  // The folder itself was open while it was counted. Out of descriptors it cannot be opened.
  if (!error) stats.open_descriptors = std::max<std::int64_t>(0, count - 1);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_descriptors = std::int64_t(limit.rlim_cur);
  return stats;
}

}  // namespace isotope::server
