// Prometheus' text exposition format, version 0.0.4.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/histogram.h"

namespace isotope::server {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class MetricsText {
 public:
  /// `common` labels stand on every sample, but those of plain().
  explicit MetricsText(MetricLabels common) : common_(std::move(common)) {}

  /// Each metric begins with one of these, then its samples follow.
  void gauge(std::string_view name, std::string_view help) { begin(name, "gauge", help); }
  void counter(std::string_view name, std::string_view help) { begin(name, "counter", help); }
  void sample(double value, const MetricLabels& labels = {});

  /// A metric of one sample.
  void gauge(std::string_view name, std::string_view help, double value);
  void counter(std::string_view name, std::string_view help, double value);
  /// Without the common labels: of the process, not of a model.
  void plain_gauge(std::string_view name, std::string_view help, double value);
  void plain_counter(std::string_view name, std::string_view help, double value);

  /// Bounds above `last_bound` are left out; what they count is in +Inf.
  template <const auto& kBounds>
  void histogram(std::string_view name, std::string_view help, const Histogram<kBounds>& values,
                 double last_bound = 1e300) {
    begin(name, "histogram", help);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < std::size(kBounds) && kBounds[i] <= last_bound; ++i) {
      sum += values.counts()[i];
      bucket(fmt::format("{}", kBounds[i]), sum);
    }
    bucket("+Inf", values.count());
    line("_sum", common_, {}, values.sum());
    line("_count", common_, {}, double(values.count()));
  }

  std::string take() { return std::move(text_); }

 private:
  void begin(std::string_view name, std::string_view type, std::string_view help);
  void bucket(std::string bound, std::uint64_t count);
  void line(std::string_view suffix, const MetricLabels& first, const MetricLabels& second,
            double value);

  MetricLabels common_;
  std::string name_, text_;
};

}  // namespace isotope::server
