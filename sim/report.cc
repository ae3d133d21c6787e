#include "sim/report.h"

#include <fmt/core.h>

namespace isotope::sim {
namespace {

void warn(std::vector<std::string>& lines, const char* what, const Finding& finding) {
  if (finding.count > 0)
    lines.push_back(fmt::format("{} times {}, first: {}", finding.count, what, finding.first));
}

std::string instructions_line(const Counters& counters) {
  u64 sum = 0;
  std::string parts;
  for (std::size_t i = 0; i < counters.instructions.size(); ++i) {
    if (counters.instructions[i] == 0) continue;
    sum += counters.instructions[i];
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name_of(Class(i)),
                         counters.instructions[i]);
  }
  return fmt::format("  {} wave instructions: {}\n", sum, parts);
}

std::string memory_line(const char* what, u64 bytes, u64 lines,
                        const std::array<Counters::Width, kWidths.size()>& widths) {
  if (lines == 0) return "";
  std::string text = fmt::format("  {} {} bytes in {} lines of 128 bytes ({:.0f} %)", what, bytes,
                                 lines, double(bytes) / double(lines * 128) * 100);
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i].all > 0)
      text += fmt::format("; {} × {} bytes a lane, {} coalesced", widths[i].all, kWidths[i],
                          widths[i].coalesced);
  return text + "\n";
}

}  // namespace

std::vector<std::string> Report::warnings() const {
  std::vector<std::string> lines;
  warn(lines, "uninitialised memory was read", counters.uninitialised_memory);
  warn(lines, "uninitialised LDS was read", counters.uninitialised_lds);
  warn(lines, "waves raced for LDS", counters.lds_races);
  warn(lines, "waves waited at different barriers", counters.divergent_barriers);
  return lines;
}

std::string Report::text() const {
  std::string text = fmt::format("{}: grid {} × {} × {}, {} × {} × {} threads\n", kernel, grid[0],
                                 grid[1], grid[2], threads[0], threads[1], threads[2]);
  if (!fault.empty()) text += "  fault: " + fault + "\n";
  for (const std::string& warning : warnings()) text += "  warning: " + warning + "\n";
  text += instructions_line(counters);
  text += memory_line("loaded", counters.loaded_bytes, counters.loaded_lines, counters.load_widths);
  text +=
      memory_line("stored", counters.stored_bytes, counters.stored_lines, counters.store_widths);
  return text + fmt::format("  {} cycles lost to bank conflicts of LDS\n", counters.lds_conflicts);
}

Report run_reported(const CodeObject& code, const Kernel& kernel, const Launch& launch,
                    Memory& memory) {
  Report report{kernel.name, launch.grid, launch.threads, "", {}};
  try {
    run(code, kernel, launch, memory, report.counters);
  } catch (const Fault& fault) {
    report.fault = fault.what();
  }
  return report;
}

}  // namespace isotope::sim
