#include "text/stop_strings.h"

#include <algorithm>

#include "base/error.h"

namespace isotope::text {

StopStrings::StopStrings(std::vector<std::string> stops, bool include_stop_text)
    : include_stop_text_(include_stop_text) {
  for (std::string& text : stops) {
    if (text.empty()) fail(ErrorCode::invalid_argument, "a stop string must not be empty");
    Stop stop{std::move(text), {0}, 0};
    // The automaton run on its own text, one byte behind, yields the borders it needs next.
    for (std::size_t i = 1; i < stop.text.size(); ++i) {
      advance(stop, stop.text[i]);
      stop.borders.push_back(stop.state);
    }
    stop.state = 0;
    stops_.push_back(std::move(stop));
  }
}

void StopStrings::advance(Stop& stop, char byte) {
  while (stop.state > 0 && stop.text[stop.state] != byte) stop.state = stop.borders[stop.state - 1];
  if (stop.text[stop.state] == byte) ++stop.state;
}

bool StopStrings::complete_stop(char byte) {
  for (std::size_t i = 0; i < stops_.size(); ++i) {
    advance(stops_[i], byte);
    const bool complete = stops_[i].state == stops_[i].text.size();
    if (complete && (!matched_ || stops_[i].text.size() > stops_[*matched_].text.size()))
      matched_ = i;
  }
  return matched_.has_value();
}

std::string StopStrings::push(std::string_view piece) {
  if (matched_) return {};
  for (const char byte : piece) {
    held_ += byte;
    if (!complete_stop(byte)) continue;
    if (!include_stop_text_) held_.resize(held_.size() - stops_[*matched_].text.size());
    return std::exchange(held_, {});
  }
  std::size_t keep = 0;
  for (const Stop& stop : stops_) keep = std::max(keep, stop.state);
  std::string released = held_.substr(0, held_.size() - keep);
  held_.erase(0, released.size());
  return released;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace isotope::text
