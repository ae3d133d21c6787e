#include "sim/findings.h"

#include <fmt/core.h>

namespace isotope::sim {

void record(const Wave& wave, const Instruction& in, OnFinding what, Finding& finding, u32 lanes,
            const std::string& text) {
  if (what == OnFinding::ignore) return;
  if (what == OnFinding::fault) throw Fault(text);
  if (finding.count == 0) {
    const auto& id = wave.group->id;
    finding.first = fmt::format(
        "workgroup ({}, {}, {}), wave {}: {} in \"{}\" at byte {:#x} of the code", id[0], id[1],
        id[2], wave.id, text, in.text, in.address - wave.program->address);
  }
  finding.count += lanes;
}

}  // namespace isotope::sim
