#include "cli/bench/serve_metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace isotope::cli {
namespace {

constexpr double kMs = 1e3;

/// The most that overlap of [start, end), and the most token events in a second, both counted from
/// the first start.
void find_peaks(const std::vector<const LoadRecord*>& done, ServeMetrics& metrics) {
  if (done.empty()) return;
  std::vector<std::pair<double, int>> edges;
  double first = done.front()->start;
  for (const LoadRecord* record : done) {
    edges.emplace_back(record->start, 1);
    edges.emplace_back(record->events.back(), -1);  // at the same time, ends sort before starts
    first = std::min(first, record->start);
  }
  std::sort(edges.begin(), edges.end());
  std::int64_t running = 0;
  for (const auto& [time, change] : edges)
    metrics.peak_concurrency = std::max(metrics.peak_concurrency, running += change);
  std::map<std::int64_t, std::int64_t> seconds;
  for (const LoadRecord* record : done)
    for (const double time : record->events) ++seconds[std::int64_t(time - first)];
  for (const auto& [second, count] : seconds)
    metrics.max_output_tokens_per_s = std::max(metrics.max_output_tokens_per_s, double(count));
}

struct Samples {
  std::vector<double> ttft, tpot, itl, e2el, server_ttft, server_tpot, text_delay;
};

/// Returns TPOT; 0 if there is none.
double add_samples(const LoadRecord& record, std::int64_t output_tokens, Samples& samples) {
  samples.ttft.push_back(ttft_of(record) * kMs);
  samples.e2el.push_back(e2el_of(record) * kMs);
  for (std::size_t i = 1; i < record.events.size(); ++i)
    samples.itl.push_back((record.events[i] - record.events[i - 1]) * kMs);
  if (record.server_ttft_ms) samples.server_ttft.push_back(*record.server_ttft_ms);
  if (record.server_tpot_ms && output_tokens > 1)
    samples.server_tpot.push_back(*record.server_tpot_ms);
  if (record.first_text)
    samples.text_delay.push_back((*record.first_text - record.events.front()) * kMs);
  if (output_tokens <= 1) return 0;
  const double tpot = (e2el_of(record) - ttft_of(record)) / double(output_tokens - 1);
  samples.tpot.push_back(tpot * kMs);
  return tpot;
}

bool is_good(const Goodput& goodput, const LoadRecord& record, double tpot) {
  return (!goodput.ttft || ttft_of(record) * kMs <= *goodput.ttft) &&
         (!goodput.tpot || tpot * kMs <= *goodput.tpot) &&
         (!goodput.e2el || e2el_of(record) * kMs <= *goodput.e2el);
}

void summarize_all(Samples samples, std::span<const double> percents, ServeMetrics& metrics) {
  metrics.ttft = summarize(std::move(samples.ttft), percents);
  metrics.tpot = summarize(std::move(samples.tpot), percents);
  metrics.itl = summarize(std::move(samples.itl), percents);
  metrics.e2el = summarize(std::move(samples.e2el), percents);
  if (!samples.server_ttft.empty())
    metrics.server_ttft = summarize(std::move(samples.server_ttft), percents);
  if (!samples.server_tpot.empty())
    metrics.server_tpot = summarize(std::move(samples.server_tpot), percents);
  metrics.first_text_delay = summarize(std::move(samples.text_delay), {}).median;
}

}  // namespace

Goodput parse_goodput(const std::vector<std::string>& pairs) {
  Goodput goodput;
  for (const std::string& pair : pairs) {
    const auto colon = std::min(pair.find(':'), pair.size());
    const std::string name = pair.substr(0, colon);
    double value = -1;
    const char* end = pair.data() + pair.size();
    const auto [last, error] =
        std::from_chars(pair.data() + std::min(colon + 1, pair.size()), end, value);
    std::optional<double>* target = name == "ttft"   ? &goodput.ttft
                                    : name == "tpot" ? &goodput.tpot
                                    : name == "e2el" ? &goodput.e2el
                                                     : nullptr;
    if (!target || error != std::errc() || last != end || !std::isfinite(value) || value < 0)
      fail(ErrorCode::invalid_argument,
           "--goodput {}: expected ttft, tpot or e2el, a colon and milliseconds, such as ttft:500",
           pair);
    *target = value;
  }
  return goodput;
}

double ttft_of(const LoadRecord& record) { return record.events.front() - record.start; }
double e2el_of(const LoadRecord& record) { return record.events.back() - record.start; }

ServeMetrics compute_metrics(const LoadResult& load, const TokenCounts& tokens,
                             std::span<const double> percents, const Goodput& goodput) {
  ServeMetrics metrics;
  metrics.duration = load.duration;
  metrics.lag_p99 = load.lag_p99 * kMs;
  Samples samples;
  std::vector<const LoadRecord*> done;
  std::int64_t good = 0;
  for (std::size_t i = 0; i < load.records.size(); ++i) {
    const LoadRecord& record = load.records[i];
    if (record.interrupted) ++metrics.cut;
    if (!record.sent || record.interrupted) continue;
    ++metrics.sent;
    if (!record.succeeded()) {
      ++metrics.failed;
      ++metrics.errors[record.error];
      continue;
    }
    done.push_back(&record);
    metrics.total_input += tokens.input[i];
    metrics.total_output += tokens.output[i];
    metrics.total_cached += record.cached_tokens.value_or(0);
    metrics.cached_known = metrics.cached_known || record.cached_tokens.has_value();
    const double tpot = add_samples(record, tokens.output[i], samples);
    if (is_good(goodput, record, tpot)) ++good;
  }
  metrics.completed = std::int64_t(done.size());
  if (load.duration > 0) {
    metrics.request_throughput = double(metrics.completed) / load.duration;
    metrics.output_throughput = double(metrics.total_output) / load.duration;
    metrics.total_throughput = double(metrics.total_input + metrics.total_output) / load.duration;
    if (goodput.any()) metrics.request_goodput = double(good) / load.duration;
  }
  find_peaks(done, metrics);
  summarize_all(std::move(samples), percents, metrics);
  return metrics;
}

}  // namespace isotope::cli
