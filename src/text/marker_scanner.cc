#include "text/marker_scanner.h"

#include <utility>

namespace isotope::text {
namespace {

bool is_prefix_of_any(std::string_view text, const std::vector<MarkerSpelling>& markers) {
  for (const MarkerSpelling& marker : markers)
    if (marker.text.starts_with(text)) return true;
  return false;
}

const MarkerSpelling* find(std::string_view text, const std::vector<MarkerSpelling>& markers) {
  for (const MarkerSpelling& marker : markers)
    if (marker.text == text) return &marker;
  return nullptr;
}

}  // namespace

std::vector<MarkerScanner::Part> MarkerScanner::push(std::string_view text,
                                                     const std::vector<MarkerSpelling>& markers) {
  std::vector<Part> parts;
  const auto append_text = [&](std::string_view plain) {
    if (plain.empty()) return;
    if (parts.empty() || parts.back().marker) parts.emplace_back();
    parts.back().text += plain;
  };
  for (const char c : text) {
    held_ += c;
    if (!is_prefix_of_any(held_, markers)) {
      // A marker never begins inside of another, so at most the last character begins one.
      held_.pop_back();
      append_text(held_);
      held_.assign(1, c);
      if (!is_prefix_of_any(held_, markers)) {
        append_text(held_);
        held_.clear();
      }
    } else if (const MarkerSpelling* marker = find(held_, markers)) {
      parts.push_back({std::exchange(held_, {}), marker->marker});
    }
  }
  return parts;
}

std::string MarkerScanner::finish() { return std::exchange(held_, {}); }

}  // namespace isotope::text
