// The figures of `bench serve` for people and for programs.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/bench/serve_metrics.h"

namespace isotope::cli {

/// One point of a sweep with what was asked for.
struct ServePoint {
  std::int64_t max_concurrency = 0;  ///< 0: no limit
  LoadResult load;
  TokenCounts tokens;
  ServeMetrics metrics;
};

struct ReportOptions {
  std::string base_url, endpoint, model, tokenizer, dataset, label, date;
  double request_rate = 0, burstiness = 1;
  std::int64_t num_prompts = 0;
  std::vector<std::string> percentile_metrics;  ///< of ttft, tpot, itl, e2el
  std::vector<double> percents;
  bool detailed = false;  ///< with the times and texts of each request
};

/// "infinity" as "inf", and no more digits than are needed.
std::string number_text(double number);

void print_point(const ServePoint& point, const ReportOptions& options);
/// The highest percentile that was asked for: "p99", or "median" if none was.
std::string high_name(const ReportOptions& options);
double high_of(const Summary& summary);
/// "8", or "unlimited".
std::string concurrency_text(const ServePoint& point);

/// A head and a row for each point.
std::vector<std::vector<std::string>> sweep_rows(std::span<const ServePoint> points,
                                                 const ReportOptions& options);
/// Prints them if there are two points or more.
void print_sweep(std::span<const ServePoint> points, const ReportOptions& options);

/// vLLM's field names where it has the figure.
json::object to_json(const ServePoint& point, const ReportOptions& options);

}  // namespace isotope::cli
