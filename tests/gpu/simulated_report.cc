#include "tests/gpu/simulated_report.h"

#include <fmt/core.h>

#include <cstdlib>
#include <numeric>

namespace isotope::emulated {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 32)
      result += fmt::format("\\u{:04x}", int(c));
    else
      result += c;
  }
  return result + "\"";
}

std::string instructions_json(const sim::Counters& counters) {
  std::string result = "{";
  for (int i = 0; i < sim::kClasses; ++i)
    result += fmt::format("{}\"{}\": {}", i ? ", " : "", sim::name_of(sim::Class(i)), counters.instructions[std::size_t(i)]);
  return result + "}";
}

}  // namespace

SimulatedReport::SimulatedReport() {
  if (const char* name = std::getenv("ISOTOPE_SIM_REPORT")) {
    file_ = std::fopen(name, "a");
    if (!file_) fmt::print(stderr, "simulated gfx1201: cannot write ISOTOPE_SIM_REPORT={}\n", name);
  }
}

void SimulatedReport::add(const ExecutableKernel& kernel, const LaunchShape& shape, const sim::Counters& counters,
                          double seconds, const std::string& error) {
  ++sum_.launches;
  sum_.instructions += std::accumulate(counters.instructions.begin(), counters.instructions.end(), sim::u64(0));
  sum_.seconds += seconds;
  sum_.faults += !error.empty();
  if (!file_) return;
  fmt::print(file_,
             "{{\"kernel\": {}, \"grid\": [{}, {}, {}], \"threads\": {}, \"lds\": {}, \"workgroups\": {}, \"waves\": {}, "
             "\"instructions\": {}, \"loaded_bytes\": {}, \"stored_bytes\": {}, \"loaded_lines\": {}, \"stored_lines\": {}, "
             "\"lds_conflicts\": {}, \"host_seconds\": {:.6f}, \"fault\": {}}}\n",
             quoted(kernel.name), shape.grid[0], shape.grid[1], shape.grid[2], shape.threads, shape.shared_bytes,
             counters.workgroups, counters.waves, instructions_json(counters), counters.loaded_bytes, counters.stored_bytes,
             counters.loaded_lines, counters.stored_lines, counters.lds_conflicts, seconds,
             error.empty() ? "null" : quoted(error));
  std::fflush(file_);
}

void SimulatedReport::finish() {
  if (sum_.launches == 0) return;
  const double rate = sum_.seconds > 0 ? double(sum_.instructions) / sum_.seconds / 1e6 : 0;
  fmt::print(stderr,
             "simulated gfx1201: {} launches, {:.1f} million wave instructions in {:.1f} s of the host ({:.1f} million/s), "
             "{} faults\n",
             sum_.launches, double(sum_.instructions) / 1e6, sum_.seconds, rate, sum_.faults);
  if (file_) {
    fmt::print(file_, "{{\"launches\": {}, \"wave_instructions\": {}, \"host_seconds\": {:.3f}, \"faults\": {}}}\n",
               sum_.launches, sum_.instructions, sum_.seconds, sum_.faults);
    std::fclose(file_);
    file_ = nullptr;
  }
}

}  // namespace isotope::emulated
