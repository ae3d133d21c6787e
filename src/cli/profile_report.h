// Profiled steps to what people and programs read: a table, JSON, a Chrome trace.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "models/model.h"
#include "ops/profiler.h"

namespace isotope::cli {

/// What parts are compared with, measured in the same run. Per second.
struct Ceilings {
  double read_bytes = 0, flops = 0;
};

/// One kind of part, per step.
struct ProfileRow {
  std::string part;
  std::int64_t calls = 0;
  double seconds = 0;
  double bytes = 0, flops = 0;  ///< that it must read and compute
  double loaded_bytes = 0;      ///< that it did read, where the device counts
};

struct Profile {
  std::string phase;             ///< "decode", "prefill"
  std::string what;              ///< "batch 1, context 549"
  std::int64_t steps = 0;        ///< that the rows are means of
  double seconds = 0;            ///< of a step, the time between steps included
  double plain_seconds = 0;      ///< of a step that is not profiled; 0: not measured
  std::vector<ProfileRow> rows;  ///< in the order of a step; the last one is the time between steps
};

/// Means over `steps`, which must be of one kind; `work` is what one of them must do. The time
/// before a step counts as its own unless it is unknown.
Profile make_profile(std::string phase, std::span<const ops::ProfiledStep> steps,
                     const std::vector<models::PartWork>& work);

void print_profile(const Profile& profile, const Ceilings& ceilings);
/// For a card that counts what it loads and has no time of its own: bytes against those needed, and
/// how long they would take at `read_bytes_per_second`.
void print_counted(const Profile& profile, double read_bytes_per_second);
json::object to_json(const Profile& profile, const Ceilings& ceilings);

/// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event
/// Format): one track a phase.
std::string chrome_trace(std::span<const ops::ProfiledStep> steps, std::string_view device);

}  // namespace isotope::cli
