#include "tests/gpu/simulated_report.h"

#include <fmt/core.h>

#include <cstdlib>
#include <numeric>
#include <vector>

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

std::string joined(const std::vector<std::string>& parts) {
  std::string result;
  for (const std::string& part : parts) result += (result.empty() ? "" : ", ") + part;
  return result;
}

std::string instructions_json(const sim::Counters& counters) {
  std::vector<std::string> parts;
  for (int i = 0; i < sim::kClasses; ++i)
    parts.push_back(fmt::format("\"{}\": {}", sim::name_of(sim::Class(i)), counters.instructions[std::size_t(i)]));
  return "{" + joined(parts) + "}";
}

/// By bytes a lane: how many wave instructions there were and how many of them were coalesced.
std::string widths_json(const std::array<sim::Counters::Width, sim::kWidths.size()>& widths) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i].all > 0)
      parts.push_back(fmt::format("\"{}\": [{}, {}]", sim::kWidths[i], widths[i].all, widths[i].coalesced));
  return "{" + joined(parts) + "}";
}

std::string json(sim::u32 code, const sim::Kernel& kernel, const sim::Launch& shape, const sim::Report& launch, double seconds) {
  const sim::Counters& c = launch.counters;
  std::vector<std::string> warnings;
  for (const std::string& warning : launch.warnings()) warnings.push_back(quoted(warning));
  const std::string head = fmt::format(
      "\"kernel\": {}, \"code\": {}, \"grid\": [{}, {}, {}], \"threads\": {}, \"vgprs\": {}, \"lds\": {}, \"scratch\": {}, "
      "\"workgroups\": {}, \"waves\": {}",
      quoted(launch.kernel), code, launch.grid[0], launch.grid[1], launch.grid[2], launch.threads[0], kernel.vgprs,
      kernel.lds_bytes + shape.dynamic_lds, kernel.scratch_bytes, c.workgroups, c.waves);
  const std::string memory = fmt::format(
      "\"loaded_bytes\": {}, \"most_in_flight\": {}, \"loaded_lines\": {}, \"distinct_lines\": {}, \"stored_bytes\": {}, \"stored_lines\": {}, \"scalar_bytes\": {}, "
      "\"loads_by_width\": {}, \"stores_by_width\": {}, \"lds_conflicts\": {}",
      c.loaded_bytes, c.most_in_flight, c.loaded_lines, c.distinct_lines, c.stored_bytes, c.stored_lines, c.scalar_bytes, widths_json(c.load_widths),
      widths_json(c.store_widths), c.lds_conflicts);
  return fmt::format("{{{}, \"instructions\": {}, {}, \"host_seconds\": {:.6f}, \"fault\": {}, \"warnings\": [{}]}}", head,
                     instructions_json(c), memory, seconds, launch.fault.empty() ? "null" : quoted(launch.fault),
                     joined(warnings));
}

}  // namespace

SimulatedReport::SimulatedReport() {
  const char* const name = std::getenv("ISOTOPE_SIM_REPORT");
  if (!name || !*name) return;
  file_ = std::fopen(name, "a");
  if (!file_) fmt::print(stderr, "simulated gfx1201: cannot write ISOTOPE_SIM_REPORT={}\n", name);
}

void SimulatedReport::write_line(const std::string& line) {
  if (!file_) return;
  fmt::print(file_, "{}\n", line);
  std::fflush(file_);
}

void SimulatedReport::add(sim::u32 code, const sim::Kernel& kernel, const sim::Launch& shape, const sim::Report& launch, double seconds) {
  const auto& instructions = launch.counters.instructions;
  ++launches_;
  loaded_bytes_ += launch.counters.distinct_lines * 128;
  instructions_ += std::accumulate(instructions.begin(), instructions.end(), sim::u64(0));
  seconds_ += seconds;
  faults_ += !launch.fault.empty();
  const std::vector<std::string> warnings = launch.warnings();
  warnings_ += !warnings.empty();
  if (!warnings.empty() && told_.insert(launch.kernel).second)
    for (const std::string& warning : warnings)
      fmt::print(stderr, "simulated gfx1201: warning: kernel {}: {}\n", launch.kernel, warning);
  if (file_) write_line(json(code, kernel, shape, launch, seconds));
}

void SimulatedReport::finish() {
  if (launches_ == 0) return;
  fmt::print(stderr,
             "simulated gfx1201: {} launches ({} with warnings, {} with faults), {:.1f} million wave instructions in {:.1f} s "
             "of the host\n",
             launches_, warnings_, faults_, double(instructions_) / 1e6, seconds_);
  write_line(fmt::format("{{\"launches\": {}, \"wave_instructions\": {}, \"host_seconds\": {:.3f}, \"faults\": {}, "
                         "\"launches_with_warnings\": {}}}",
                         launches_, instructions_, seconds_, faults_, warnings_));
  if (file_) std::fclose(file_);
  file_ = nullptr;
}

}  // namespace isotope::emulated
