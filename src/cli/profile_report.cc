#include "cli/profile_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

namespace isotope::cli {
namespace {

constexpr std::string_view kBetween = "between steps";

ProfileRow& row_of(std::vector<ProfileRow>& rows, std::string_view part) {
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [part](const ProfileRow& row) { return row.part == part; });
  if (found != rows.end()) return *found;
  rows.push_back({std::string(part)});
  return rows.back();
}

/// The part of the nearer ceiling that was reached.
double reached(const ProfileRow& row, const Ceilings& ceilings) {
  if (row.seconds <= 0) return 0;
  return std::max(ceilings.read_bytes > 0 ? row.bytes / ceilings.read_bytes : 0,
                  ceilings.flops > 0 ? row.flops / ceilings.flops : 0) /
         row.seconds;
}

/// Empty where there is nothing to say.
std::string number(double value, int digits) {
  return value > 0 ? fmt::format("{:.{}f}", value, digits) : "";
}

ProfileRow sum_of(const Profile& profile) {
  ProfileRow sum{"step"};
  for (const ProfileRow& row : profile.rows) {
    sum.seconds += row.seconds;
    sum.bytes += row.bytes;
    sum.flops += row.flops;
    sum.loaded_bytes += row.loaded_bytes;
  }
  return sum;
}

void print_row(const ProfileRow& row, double step, const Ceilings& ceilings) {
  const double per_second = row.seconds > 0 ? 1 / row.seconds : 0;
  fmt::print("{:<14} {:>5} {:>10.3f} {:>6.1f} {:>9} {:>8} {:>10} {:>8} {:>7}\n", row.part,
             row.calls > 0 ? std::to_string(row.calls) : "", row.seconds * 1e3,
             100 * row.seconds / step, number(row.bytes * 1e-6, 2),
             number(row.bytes * per_second * 1e-9, 1), number(row.flops * 1e-9, 2),
             number(row.flops * per_second * 1e-12, 2), number(100 * reached(row, ceilings), 1));
}

}  // namespace

Profile make_profile(std::string phase, std::span<const ops::ProfiledStep> steps,
                     const std::vector<models::PartWork>& work) {
  Profile profile;
  profile.phase = std::move(phase);
  profile.steps = std::int64_t(steps.size());
  if (steps.empty()) return profile;
  const double part_of_mean = 1 / double(steps.size());
  ProfileRow between{std::string(kBetween)};
  for (const ops::ProfiledStep& step : steps) {
    between.seconds += step.idle_before.value_or(0) * part_of_mean;
    for (const ops::ProfiledPart& part : step.parts) {
      ProfileRow& row = row_of(profile.rows, part.part);
      row.seconds += part.seconds * part_of_mean;
      row.loaded_bytes += double(part.loaded_bytes) * part_of_mean;
    }
  }
  for (const models::PartWork& part : work) {
    ProfileRow& row = row_of(profile.rows, part.part);
    row.calls = part.calls;
    row.bytes = part.bytes;
    row.flops = part.flops;
  }
  profile.rows.push_back(std::move(between));
  profile.seconds = sum_of(profile).seconds;
  return profile;
}

void print_profile(const Profile& profile, const Ceilings& ceilings) {
  fmt::print("\n{}, {}: {:.3f} ms a step, the mean of {}", profile.phase, profile.what,
             profile.seconds * 1e3, profile.steps);
  if (profile.plain_seconds > 0)
    fmt::print("; {:.3f} ms where nothing is profiled", profile.plain_seconds * 1e3);
  fmt::print("\n{:<14} {:>5} {:>10} {:>6} {:>9} {:>8} {:>10} {:>8} {:>7}\n", "part", "calls", "ms",
             "%", "MB", "GB/s", "GFLOP", "TFLOP/s", "% ceil.");
  for (const ProfileRow& row : profile.rows) print_row(row, profile.seconds, ceilings);
  print_row(sum_of(profile), profile.seconds, ceilings);
}

void print_counted(const Profile& profile, double read_bytes_per_second) {
  fmt::print("\n{}, {}, simulated: bytes counted, no time\n", profile.phase, profile.what);
  fmt::print("{:<14} {:>5} {:>12} {:>12} {:>7} {:>12}\n", "part", "calls", "needed MB", "loaded MB",
             "ratio", fmt::format("us at {:.0f}GB/s", read_bytes_per_second * 1e-9));
  const auto print = [&](const ProfileRow& row) {
    fmt::print("{:<14} {:>5} {:>12} {:>12} {:>7} {:>12.1f}\n", row.part,
               row.calls > 0 ? std::to_string(row.calls) : "", number(row.bytes * 1e-6, 3),
               number(row.loaded_bytes * 1e-6, 3),
               row.bytes > 0 ? number(row.loaded_bytes / row.bytes, 3) : "",
               row.loaded_bytes / read_bytes_per_second * 1e6);
  };
  for (const ProfileRow& row : profile.rows)
    if (row.part != kBetween) print(row);
  print(sum_of(profile));
}

json::object to_json(const Profile& profile, const Ceilings& ceilings) {
  json::array rows;
  for (const ProfileRow& row : profile.rows)
    rows.push_back(json::object{{"part", row.part},
                                {"calls", row.calls},
                                {"seconds", row.seconds},
                                {"bytes", row.bytes},
                                {"flops", row.flops},
                                {"loaded_bytes", row.loaded_bytes},
                                {"ceiling_part", reached(row, ceilings)}});
  return {{"phase", profile.phase},
          {"what", profile.what},
          {"steps", profile.steps},
          {"step_seconds", profile.seconds},
          {"plain_step_seconds", profile.plain_seconds},
          {"parts", std::move(rows)}};
}

std::string chrome_trace(std::span<const ops::ProfiledStep> steps, std::string_view device) {
  json::array events;
  const auto name = [&events, device](int track, std::string_view what) {
    events.push_back(
        json::object{{"ph", "M"},
                     {"pid", 1},
                     {"tid", track},
                     {"name", "thread_name"},
                     {"args", json::object{{"name", fmt::format("{} on {}", what, device)}}}});
  };
  name(1, "prefill");
  name(2, "decode");
  std::int64_t number = 0;
  for (const ops::ProfiledStep& step : steps) {
    for (const ops::ProfiledPart& part : step.parts)
      events.push_back(json::object{{"ph", "X"},
                                    {"pid", 1},
                                    {"tid", step.decode_rows > 0 ? 2 : 1},
                                    {"name", part.part},
                                    {"ts", part.begin * 1e6},
                                    {"dur", part.seconds * 1e6},
                                    {"args", json::object{{"step", number}, {"rows", step.rows}}}});
    ++number;
  }
  return json::serialize(
      json::object{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}});
}

}  // namespace isotope::cli
