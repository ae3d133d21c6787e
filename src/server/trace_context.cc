#include "server/trace_context.h"

#include <fmt/core.h>

#include <algorithm>

#include "server/usage.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxState = 512;
constexpr std::size_t kVersion0Size = 55;  // "00-" 32 "-" 16 "-" 2

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

std::string TraceContext::response() const {
  return fmt::format("00-{}-{}-{}", trace_id, span_id, flags);
}

std::optional<TraceContext> read_trace_context(std::string_view traceparent,
                                               std::string_view tracestate) {
  if (traceparent.size() < kVersion0Size) return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2), trace = traceparent.substr(3, 32),
                         parent = traceparent.substr(36, 16), flags = traceparent.substr(53, 2);
  const bool dashes = traceparent[2] == '-' && traceparent[35] == '-' && traceparent[52] == '-';
  if (!dashes || !is_hex(version) || version == "ff" || !is_id(trace) || !is_id(parent) ||
      !is_hex(flags))
    return std::nullopt;
  // Later versions may add fields after a dash.
  if (traceparent.size() > kVersion0Size && (version == "00" || traceparent[kVersion0Size] != '-'))
    return std::nullopt;
  TraceContext context{.trace_id = std::string(trace),
                       .parent_id = std::string(parent),
                       .span_id = new_id("").substr(0, 16),
                       .flags = std::string(flags),
                       .state = {}};
  if (tracestate.size() <= kMaxState && is_printable(tracestate)) context.state = tracestate;
  return context;
}

}  // namespace isotope::server
