#include "cli/bench/latency_plot.h"

#include <gtest/gtest.h>

#include <cmath>

namespace isotope::cli {
namespace {

/// Whether tags open and close in pairs and nothing else looks like markup.
bool is_well_formed(std::string_view xml) {
  std::vector<std::string> open;
  while (true) {
    const auto begin = xml.find('<');
    if (begin == xml.npos) return open.empty();
    const auto end = xml.find('>', begin);
    if (end == xml.npos) return false;
    std::string_view tag = xml.substr(begin + 1, end - begin - 1);
    xml.remove_prefix(end + 1);
    if (tag.starts_with('!') || tag.ends_with('/')) continue;
    if (tag.find('<') != tag.npos) return false;
    if (!tag.starts_with('/')) {
      open.emplace_back(tag.substr(0, tag.find_first_of(" \n")));
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return false;
    } else {
      open.pop_back();
    }
  }
}

const std::vector<PlotPoint> kPoints = {{"1", 100, 10, 12, 5, 6}, {"8", 640, 40.5, 90, 7, 9.25}};

TEST(LatencyPlot, IsWellFormed) {
  const std::string svg = latency_svg(kPoints, {.title = "a <b> & \"c\"", .subtitle = "</svg>"});
  EXPECT_TRUE(is_well_formed(svg));
  EXPECT_NE(svg.find("a &lt;b&gt; &amp; &quot;c&quot;"), svg.npos);
  EXPECT_NE(svg.find("prefers-color-scheme: dark"), svg.npos);
  EXPECT_FALSE(is_well_formed(svg.substr(0, svg.size() - 8)));
  const std::string html =
      latency_html(kPoints, {.title = "x"}, {{"<th>"}, {"<td>"}}, {{"&", "<"}});
  EXPECT_TRUE(
      is_well_formed(html.substr(html.find("<svg"), html.find("</body>") - html.find("<svg"))));
}

TEST(LatencyPlot, PointsLieWhereTheAxesSay) {
  // Axes end at 800 tok/s (steps of 200), 10 ms (2) and 100 ms (20).
  const std::string svg = latency_svg(kPoints, {});
  EXPECT_NE(svg.find("cx=\"114.8\" cy=\"231.0\""), svg.npos) << "TPOT, median, first point";
  EXPECT_NE(svg.find("cx=\"852.0\" cy=\"123.0\""), svg.npos) << "TTFT, p99, second point";
  EXPECT_NE(svg.find(">800</text>"), svg.npos);
}

TEST(LatencyPlot, NothingOrZeroIsDrawnToo) {
  for (const std::vector<PlotPoint>& points :
       {std::vector<PlotPoint>{}, {{"1", 0, 0, 0, 0, 0}}, {{"1", 1e-9, 1e9, 1e9, 1e-3, 1}}}) {
    const std::string svg = latency_svg(points, {});
    EXPECT_TRUE(is_well_formed(svg));
    EXPECT_EQ(svg.find("nan"), svg.npos);
    EXPECT_EQ(svg.find("inf"), svg.npos);
  }
}

}  // namespace
}  // namespace isotope::cli
