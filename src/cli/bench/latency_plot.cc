#include "cli/bench/latency_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace isotope::cli {
namespace {

constexpr double kWidth = 960, kHeight = 430;
constexpr double kPanelWidth = 390, kPanelHeight = 270, kPanelTop = 96;

constexpr std::string_view kStyle = R"(
  .plot { font: 13px system-ui, sans-serif; }
  .plot .back { fill: #ffffff; }
  .plot text { fill: #24292f; }
  .plot .title { font-size: 17px; font-weight: 600; }
  .plot .quiet { fill: #57606a; }
  .plot .grid { stroke: #d8dee4; stroke-width: 1; }
  .plot .axis { stroke: #57606a; stroke-width: 1; }
  .plot .line { fill: none; stroke-width: 2; }
  .plot .median { stroke: #0969da; }
  .plot .high { stroke: #bc4c00; stroke-dasharray: 5 4; }
  .plot .median-point { fill: #0969da; }
  .plot .high-point { fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    .plot .back { fill: #0d1117; }
    .plot text { fill: #e6edf3; }
    .plot .quiet { fill: #9198a1; }
    .plot .grid { stroke: #30363d; }
    .plot .axis { stroke: #9198a1; }
    .plot .median { stroke: #58a6ff; }
    .plot .high { stroke: #f0883e; }
    .plot .median-point { fill: #58a6ff; }
    .plot .high-point { fill: #f0883e; }
  }
)";

/// An axis from 0 over at least `largest` in steps of 1, 2 or 5 times a power of ten.
struct Axis {
  double step = 1, end = 1;

  explicit Axis(double largest) {
    if (!(largest > 0) || !std::isfinite(largest)) return;
    const double rough = largest / 5, power = std::pow(10.0, std::floor(std::log10(rough)));
    const double digit = rough / power;
    step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    end = step * std::ceil(largest / step);
  }
  int ticks() const { return int(std::lround(end / step)); }
};

struct Series {
  std::string_view name, style;
  std::vector<double> values;
};

class Panel {
 public:
  Panel(std::string& svg, double left, std::span<const PlotPoint> points, std::string_view title,
        const Series& median, const Series& high)
      : svg_(svg),
        left_(left),
        points_(points),
        x_axis_(largest_throughput(points)),
        y_axis_(std::max(largest(median.values), largest(high.values))) {
    add("<text class=\"quiet\" x=\"{}\" y=\"{}\">{}</text>\n", left_, kPanelTop - 14,
        escape_markup(title));
    draw_grid();
    draw(high, false);
    draw(median, true);
  }

 private:
  static double largest(const std::vector<double>& values) {
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  }
  static double largest_throughput(std::span<const PlotPoint> points) {
    double result = 0;
    for (const PlotPoint& point : points) result = std::max(result, point.throughput);
    return result;
  }

  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Args>(args)...);
  }
  double x(double value) const { return left_ + kPanelWidth * value / x_axis_.end; }
  double y(double value) const { return kPanelTop + kPanelHeight * (1 - value / y_axis_.end); }

  void draw_grid() {
    for (int i = 0; i <= y_axis_.ticks(); ++i) {
      const double value = i * y_axis_.step;
      add("<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", left_,
          y(value), left_ + kPanelWidth, y(value));
      add("<text class=\"quiet\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{:g}</text>\n",
          left_ - 6, y(value) + 4, value);
    }
    const double bottom = kPanelTop + kPanelHeight;
    add("<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", left_,
        bottom, left_ + kPanelWidth, bottom);
    for (int i = 0; i <= x_axis_.ticks(); ++i)
      add("<text class=\"quiet\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{:g}</text>\n",
          x(i * x_axis_.step), bottom + 18, i * x_axis_.step);
    add("<text class=\"quiet\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">output tokens a "
        "second</text>\n",
        left_ + kPanelWidth / 2, bottom + 38);
  }

  void draw(const Series& series, bool labels) {
    std::string path;
    for (std::size_t i = 0; i < points_.size(); ++i)
      fmt::format_to(std::back_inserter(path), "{:.1f},{:.1f} ", x(points_[i].throughput),
                     y(series.values[i]));
    add("<polyline class=\"line {}\" points=\"{}\"/>\n", series.style, path);
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const PlotPoint& point = points_[i];
      add("<circle class=\"{}-point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>concurrency {}: "
          "{:.1f} tok/s, {} {:.2f} ms</title></circle>\n",
          series.style, x(point.throughput), y(series.values[i]), escape_markup(point.label),
          point.throughput, escape_markup(series.name), series.values[i]);
      if (labels)
        add("<text text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
            x(point.throughput), y(series.values[i]) + 20, escape_markup(point.label));
    }
  }

  std::string& svg_;
  double left_;
  std::span<const PlotPoint> points_;
  Axis x_axis_, y_axis_;
};

std::vector<double> column(std::span<const PlotPoint> points, double PlotPoint::*member) {
  std::vector<double> values;
  for (const PlotPoint& point : points) values.push_back(point.*member);
  return values;
}

void add_legend(std::string& svg, const PlotText& text) {
  double x = 530;
  for (const auto& [name, style] :
       {std::pair<std::string_view, std::string_view>{"median", "median"},
        {std::string_view(text.high_name), "high"}}) {
    fmt::format_to(
        std::back_inserter(svg),
        "<line class=\"line {}\" x1=\"{}\" y1=\"54\" x2=\"{}\" y2=\"54\"/><text x=\"{}\" "
        "y=\"58\">{}</text>\n",
        style, x, x + 34, x + 42, escape_markup(name));
    x += 120;
  }
  fmt::format_to(std::back_inserter(svg),
                 "<text class=\"quiet\" x=\"{}\" y=\"58\">numbers: concurrency</text>\n", x);
}

}  // namespace

std::string escape_markup(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if (std::uint8_t(c) >= 0x20)
      result += c;  // XML has no control characters
    else
      result += ' ';
  }
  return result;
}

std::string latency_svg(std::span<const PlotPoint> points, const PlotText& text) {
  std::string svg = fmt::format(
      "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" "
      "width=\"{0}\" height=\"{1}\" role=\"img\">\n<title>{2}</title>\n<style>{3}</style>\n"
      "<rect class=\"back\" width=\"{0}\" height=\"{1}\"/>\n"
      "<text class=\"title\" x=\"66\" y=\"32\">{2}</text>\n"
      "<text class=\"quiet\" x=\"66\" y=\"58\">{4}</text>\n",
      kWidth, kHeight, escape_markup(text.title), kStyle, escape_markup(text.subtitle));
  add_legend(svg, text);
  Panel(svg, 66, points, "time per output token, ms",
        {"median", "median", column(points, &PlotPoint::tpot_median)},
        {text.high_name, "high", column(points, &PlotPoint::tpot_high)});
  Panel(svg, 540, points, "time to first token, ms",
        {"median", "median", column(points, &PlotPoint::ttft_median)},
        {text.high_name, "high", column(points, &PlotPoint::ttft_high)});
  svg += "</svg>\n";
  return svg;
}

std::string latency_html(std::span<const PlotPoint> points, const PlotText& text,
                         const std::vector<std::vector<std::string>>& table,
                         const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>{}</title>\n<style>\n"
      "  :root {{ color-scheme: light dark; font: 15px system-ui, sans-serif; }}\n"
      "  body {{ max-width: 960px; margin: 2em auto; padding: 0 1em; }}\n"
      "  svg {{ max-width: 100%; height: auto; }}\n"
      "  table {{ border-collapse: collapse; margin-top: 1.5em; }}\n"
      "  th, td {{ padding: 0.3em 0.8em; text-align: right; border-bottom: 1px solid #8884; }}\n"
      "  .facts th, .facts td {{ text-align: left; }}\n</style>\n</head>\n<body>\n",
      escape_markup(text.title));
  html += latency_svg(points, text);
  html += "<table>\n";
  for (std::size_t row = 0; row < table.size(); ++row) {
    const std::string_view cell = row == 0 ? "th" : "td";
    html += "<tr>";
    for (const std::string& value : table[row])
      html += fmt::format("<{0}>{1}</{0}>", cell, escape_markup(value));
    html += "</tr>\n";
  }
  html += "</table>\n<table class=\"facts\">\n";
  for (const auto& [name, value] : facts)
    html +=
        fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape_markup(name), escape_markup(value));
  html += "</table>\n</body>\n</html>\n";
  return html;
}

}  // namespace isotope::cli
