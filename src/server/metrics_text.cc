#include "server/metrics_text.h"

#include <cmath>

namespace isotope::server {
namespace {

/// In HELP lines a quotation mark stands for itself.
std::string escaped(std::string_view text, bool in_label) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '\\' || (in_label && c == '"')) result += '\\';
    result += c;
  }
  return result;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

void MetricsText::begin(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, escaped(help, false), type);
}

void MetricsText::line(std::string_view suffix, const MetricLabels& first,
                       const MetricLabels& second, double value) {
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  for (const MetricLabels* labels : {&first, &second})
    for (const auto& [label, text] : *labels) {
      text_ += fmt::format("{}{}=\"{}\"", separator, label, escaped(text, true));
      separator = ',';
    }
  if (separator == ',') text_ += '}';
  text_ += fmt::format(" {}\n", number(value));
}

void MetricsText::bucket(std::string bound, std::uint64_t count) {
  line("_bucket", common_, {{"le", std::move(bound)}}, double(count));
}

void MetricsText::sample(double value, const MetricLabels& labels) {
  line({}, common_, labels, value);
}

void MetricsText::gauge(std::string_view name, std::string_view help, double value) {
  gauge(name, help);
  sample(value);
}

void MetricsText::counter(std::string_view name, std::string_view help, double value) {
  counter(name, help);
  sample(value);
}

void MetricsText::plain_gauge(std::string_view name, std::string_view help, double value) {
  gauge(name, help);
  line({}, {}, {}, value);
}

void MetricsText::plain_counter(std::string_view name, std::string_view help, double value) {
  counter(name, help);
  line({}, {}, {}, value);
}

}  // namespace isotope::server
