// The W3C's trace context, as OpenTelemetry passes it on: which trace a request belongs to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace isotope::server {

struct TraceContext {
  std::string trace_id, parent_id;  ///< lower-case hexadecimal, 32 and 16 digits
  std::string span_id;              ///< this request's own, for the caller's records
  std::string flags;                ///< two digits; bit 0: the caller records the trace
  std::string state;                ///< tracestate, as it came

  /// The value of the header field traceresponse.
  std::string response() const;
};

/// From the header fields traceparent and tracestate. nullopt without a valid traceparent: the
/// specification wants it ignored then. A tracestate that is too long or not printable is dropped.
std::optional<TraceContext> read_trace_context(std::string_view traceparent,
                                               std::string_view tracestate);

}  // namespace isotope::server
