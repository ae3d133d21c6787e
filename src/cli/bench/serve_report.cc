#include "cli/bench/serve_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <cstdio>

namespace isotope::cli {
namespace {

struct Named {
  std::string_view name, title;
  const Summary* summary;
};

/// The latencies that were asked for, in the usual order.
std::vector<Named> chosen(const ServeMetrics& metrics, const ReportOptions& options) {
  const Named all[] = {{"ttft", "TTFT  time to first token", &metrics.ttft},
                       {"tpot", "TPOT  time per output token", &metrics.tpot},
                       {"itl", "ITL   between tokens", &metrics.itl},
                       {"e2el", "E2EL  whole answer", &metrics.e2el}};
  std::vector<Named> result;
  for (const Named& each : all)
    if (std::find(options.percentile_metrics.begin(), options.percentile_metrics.end(),
                  each.name) != options.percentile_metrics.end())
      result.push_back(each);
  return result;
}

void print_row(std::string_view title, const Summary& summary) {
  fmt::print("{:<29} {:>9.2f} {:>9.2f} {:>9.2f}", title, summary.mean, summary.median, summary.std);
  for (const auto& [percent, value] : summary.percentiles) fmt::print(" {:>9.2f}", value);
  fmt::print("\n");
}

/// How far our means are from the server's own.
void print_server_figures(const ServeMetrics& metrics) {
  if (!metrics.server_ttft && !metrics.server_tpot) return;
  std::string differences;
  const auto add = [&](std::string_view name, const Summary& ours,
                       const std::optional<Summary>& server) {
    if (!server) return;
    print_row(fmt::format("server's own {}", name), *server);
    if (server->mean > 0)
      differences += fmt::format("{} {} {:+.2f} %", differences.empty() ? "" : ",", name,
                                 100 * (ours.mean - server->mean) / server->mean);
  };
  add("TTFT", metrics.ttft, metrics.server_ttft);
  add("TPOT", metrics.tpot, metrics.server_tpot);
  if (!differences.empty()) fmt::print("our means against the server's:{}\n", differences);
}

void print_latencies(const ServeMetrics& metrics, const ReportOptions& options) {
  fmt::print("\n{:<29} {:>9} {:>9} {:>9}", "milliseconds", "mean", "median", "std");
  for (const double percent : options.percents) fmt::print(" {:>9}", "p" + number_text(percent));
  fmt::print("\n");
  for (const Named& each : chosen(metrics, options)) print_row(each.title, *each.summary);
  print_server_figures(metrics);
}

void print_errors(const ServeMetrics& metrics) {
  std::vector<std::pair<std::int64_t, std::string>> errors;
  for (const auto& [message, count] : metrics.errors) errors.emplace_back(count, message);
  std::sort(errors.rbegin(), errors.rend());
  for (const auto& [count, message] : errors) fmt::print("  {:>6} × {}\n", count, message);
}

/// What a reader of the figures must know to trust them.
void print_notes(const ServePoint& point) {
  const ServeMetrics& metrics = point.metrics;
  if (point.tokens.counted_by_tokenizer > 0)
    fmt::print(
        "note: the server gave no usage for {} answers; their tokens were counted with "
        "--tokenizer\n",
        point.tokens.counted_by_tokenizer);
  if (point.tokens.counted_by_events > 0)
    fmt::print(
        "note: the server gave no usage for {} answers and --tokenizer was not given; "
        "events were counted as tokens, which may be too few\n",
        point.tokens.counted_by_events);
  if (metrics.total_cached > 0)
    fmt::print("note: {} of the prompt tokens came from the server's prefix cache\n",
               metrics.total_cached);
  if (metrics.first_text_delay > std::max(1.0, 0.01 * metrics.ttft.median))
    fmt::print(
        "note: half of the answers began with events without text, {:.1f} ms or more before "
        "it; if this server opens its streams before it has a token, measure with "
        "--token-events text\n",
        metrics.first_text_delay);
  if (metrics.lag_p99 > 1)
    fmt::print(
        "note: this program itself was up to {:.1f} ms late (p99) in looking at its "
        "connections; the figures include that\n",
        metrics.lag_p99);
}

json::value number_or_null(std::int64_t value) {
  return value > 0 ? json::value(value) : json::value(nullptr);
}

void put_summary(std::string_view name, const Summary& summary, json::object& object) {
  object[fmt::format("mean_{}_ms", name)] = summary.mean;
  object[fmt::format("median_{}_ms", name)] = summary.median;
  object[fmt::format("std_{}_ms", name)] = summary.std;
  for (const auto& [percent, value] : summary.percentiles)
    object[fmt::format("p{}_{}_ms", number_text(percent), name)] = value;
}

template <typename Value>
json::array by_request(const std::vector<LoadRecord>& records, Value value) {
  json::array array;
  for (const LoadRecord& record : records) array.push_back(value(record));
  return array;
}

json::value ttft_or_zero(const LoadRecord& record) {
  return record.events.empty() ? 0.0 : ttft_of(record);
}

json::value latency_or_zero(const LoadRecord& record) {
  return record.events.empty() ? 0.0 : e2el_of(record);
}

json::value gaps(const LoadRecord& record) {
  json::array array;
  for (std::size_t i = 1; i < record.events.size(); ++i)
    array.push_back(record.events[i] - record.events[i - 1]);
  return array;
}

void put_details(const ServePoint& point, json::object& object) {
  const std::vector<LoadRecord>& records = point.load.records;
  object["input_lens"] = json::array(point.tokens.input.begin(), point.tokens.input.end());
  object["output_lens"] = json::array(point.tokens.output.begin(), point.tokens.output.end());
  object["ttfts"] = by_request(records, ttft_or_zero);
  object["itls"] = by_request(records, gaps);
  object["latencies"] = by_request(records, latency_or_zero);
  object["start_times"] =
      by_request(records, [](const LoadRecord& record) { return record.start; });
  object["queue_times"] = by_request(
      records, [](const LoadRecord& record) { return std::max(0.0, record.start - record.due); });
  object["generated_texts"] =
      by_request(records, [](const LoadRecord& record) { return json::value(record.text); });
  object["errors"] =
      by_request(records, [](const LoadRecord& record) { return json::value(record.error); });
  // Not in vLLM's form: the raw times, from which all others follow.
  object["event_times"] = by_request(records, [](const LoadRecord& record) -> json::value {
    return json::array(record.events.begin(), record.events.end());
  });
}

}  // namespace

std::string number_text(double number) { return fmt::format("{:g}", number); }

void print_point(const ServePoint& point, const ReportOptions& options) {
  const ServeMetrics& metrics = point.metrics;
  fmt::print("\nconcurrency {}, {} requests/s asked for: {} of {} requests succeeded ({:.1f} %)",
             concurrency_text(point), number_text(options.request_rate), metrics.completed,
             metrics.sent, 100 * metrics.success_rate());
  if (metrics.failed > 0) fmt::print(", {} failed", metrics.failed);
  if (point.load.interrupted)
    fmt::print("; interrupted: {} were cut, {} not sent, neither is counted", metrics.cut,
               std::int64_t(point.load.records.size()) - metrics.sent - metrics.cut);
  fmt::print("\n");
  print_errors(metrics);
  fmt::print("duration {:.2f} s, {} prompt and {} output tokens, at most {} requests at a time\n",
             metrics.duration, metrics.total_input, metrics.total_output, metrics.peak_concurrency);
  fmt::print("{:.3f} requests/s   {:.1f} output tok/s (busiest second {:.0f})   {:.1f} total tok/s",
             metrics.request_throughput, metrics.output_throughput, metrics.max_output_tokens_per_s,
             metrics.total_throughput);
  if (metrics.request_goodput) fmt::print("   goodput {:.3f} requests/s", *metrics.request_goodput);
  fmt::print("\n");
  if (metrics.completed > 0) print_latencies(metrics, options);
  print_notes(point);
  std::fflush(stdout);
}

std::string high_name(const ReportOptions& options) {
  return options.percents.empty() ? "median" : "p" + number_text(options.percents.back());
}

double high_of(const Summary& summary) {
  return summary.percentiles.empty() ? summary.median : summary.percentiles.back().second;
}

std::string concurrency_text(const ServePoint& point) {
  return point.max_concurrency > 0 ? std::to_string(point.max_concurrency) : "unlimited";
}

std::vector<std::vector<std::string>> sweep_rows(std::span<const ServePoint> points,
                                                 const ReportOptions& options) {
  const std::string high = high_name(options);
  std::vector<std::vector<std::string>> rows = {{"concurrency", "succeeded", "req/s",
                                                 "output tok/s", "TTFT ms", high, "TPOT ms", high,
                                                 "E2EL ms", high}};
  for (const ServePoint& point : points) {
    const ServeMetrics& m = point.metrics;
    rows.push_back({concurrency_text(point), fmt::format("{:.1f} %", 100 * m.success_rate()),
                    fmt::format("{:.3f}", m.request_throughput),
                    fmt::format("{:.1f}", m.output_throughput),
                    fmt::format("{:.1f}", m.ttft.median), fmt::format("{:.1f}", high_of(m.ttft)),
                    fmt::format("{:.2f}", m.tpot.median), fmt::format("{:.2f}", high_of(m.tpot)),
                    fmt::format("{:.0f}", m.e2el.median), fmt::format("{:.0f}", high_of(m.e2el))});
  }
  return rows;
}

void print_sweep(std::span<const ServePoint> points, const ReportOptions& options) {
  if (points.size() < 2) return;
  fmt::print("\nmedians, each with its {} beside it\n", high_name(options));
  for (const std::vector<std::string>& row : sweep_rows(points, options)) {
    for (const std::string& cell : row) fmt::print("{:>12} ", cell);
    fmt::print("\n");
  }
}

json::object to_json(const ServePoint& point, const ReportOptions& options) {
  const ServeMetrics& metrics = point.metrics;
  json::object object{{"date", options.date},
                      {"backend", "openai"},
                      {"base_url", options.base_url},
                      {"endpoint", options.endpoint},
                      {"model_id", options.model},
                      {"num_prompts", options.num_prompts},
                      {"dataset_name", options.dataset},
                      {"burstiness", options.burstiness},
                      {"max_concurrency", number_or_null(point.max_concurrency)},
                      {"duration", metrics.duration},
                      {"completed", metrics.completed},
                      {"failed", metrics.failed},
                      {"success_rate", metrics.success_rate()},
                      {"total_input_tokens", metrics.total_input},
                      {"total_output_tokens", metrics.total_output},
                      {"request_throughput", metrics.request_throughput},
                      {"output_throughput", metrics.output_throughput},
                      {"total_token_throughput", metrics.total_throughput},
                      {"max_output_tokens_per_s", metrics.max_output_tokens_per_s},
                      {"max_concurrent_requests", metrics.peak_concurrency},
                      {"interrupted", point.load.interrupted},
                      {"client_lag_p99_ms", metrics.lag_p99}};
  // vLLM writes an infinite rate so, since JSON has no infinity.
  object["request_rate"] =
      std::isinf(options.request_rate) ? json::value("inf") : json::value(options.request_rate);
  object["tokenizer_id"] =
      options.tokenizer.empty() ? json::value(nullptr) : json::value(options.tokenizer);
  object["label"] = options.label.empty() ? json::value(nullptr) : json::value(options.label);
  object["request_goodput"] =
      metrics.request_goodput ? json::value(*metrics.request_goodput) : json::value(nullptr);
  if (metrics.cached_known) object["total_cached_tokens"] = metrics.total_cached;
  for (const Named& each : chosen(metrics, options)) put_summary(each.name, *each.summary, object);
  if (metrics.server_ttft) put_summary("server_ttft", *metrics.server_ttft, object);
  if (metrics.server_tpot) put_summary("server_tpot", *metrics.server_tpot, object);
  json::object errors;
  for (const auto& [message, count] : metrics.errors) errors[message] = count;
  object["error_counts"] = std::move(errors);
  if (options.detailed) put_details(point, object);
  return object;
}

}  // namespace isotope::cli
