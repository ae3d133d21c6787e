// Latency over throughput as an SVG picture or a page, with nothing from outside in it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isotope::cli {

/// A point of a sweep.
struct PlotPoint {
  std::string label;      ///< beside the point: the concurrency
  double throughput = 0;  ///< output tokens a second
  double ttft_median = 0, ttft_high = 0, tpot_median = 0, tpot_high = 0;  ///< milliseconds
};

struct PlotText {
  std::string title, subtitle;
  std::string high_name = "p99";  ///< which percentile *_high are
};

/// Two panels, time per output token and time to first token, each median and high percentile over
/// the throughput. Follows the reader's light or dark setting.
std::string latency_svg(std::span<const PlotPoint> points, const PlotText& text);

/// The picture with a table below it: `table` is its head and its rows.
std::string latency_html(std::span<const PlotPoint> points, const PlotText& text,
                         const std::vector<std::vector<std::string>>& table,
                         const std::vector<std::pair<std::string, std::string>>& facts);

/// `text` with what XML would take for markup replaced.
std::string escape_markup(std::string_view text);

}  // namespace isotope::cli
