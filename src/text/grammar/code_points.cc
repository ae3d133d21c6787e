#include "text/grammar/code_points.h"

#include <algorithm>

namespace isotope::text {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

}  // namespace

void CodePoints::add(char32_t first, char32_t last) {
  last = std::min(last, kLastCodePoint);
  if (first > last) return;
  if (first <= kLastSurrogate && last >= kFirstSurrogate) {
    if (first < kFirstSurrogate) add(first, kFirstSurrogate - 1);
    if (last > kLastSurrogate) add(kLastSurrogate + 1, last);
    return;
  }
  // Ranges that touch the new one become part of it.
  const auto begin = std::find_if(ranges_.begin(), ranges_.end(),
                                  [&](const Range& range) { return range.last + 1 >= first; });
  const auto end = std::find_if(begin, ranges_.end(),
                                [&](const Range& range) { return range.first > last + 1; });
  if (begin != end) {
    first = std::min(first, begin->first);
    last = std::max(last, (end - 1)->last);
  }
  ranges_.insert(ranges_.erase(begin, end), {first, last});
}

void CodePoints::add(const CodePoints& other) {
  for (const Range& range : other.ranges_) add(range.first, range.last);
}

CodePoints CodePoints::inverted() const {
  CodePoints result;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.add(next, range.first - 1);
    next = range.last + 1;
  }
  result.add(next, kLastCodePoint);
  return result;
}

CodePoints CodePoints::intersected(const CodePoints& other) const {
  CodePoints result;
  for (const Range& a : ranges_)
    for (const Range& b : other.ranges_)
      result.add(std::max(a.first, b.first), std::min(a.last, b.last));
  return result;
}

bool CodePoints::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [c](const Range& range) { return range.first <= c && c <= range.last; });
}

}  // namespace isotope::text
