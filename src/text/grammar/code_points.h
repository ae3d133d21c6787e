// Sets of Unicode characters.
#pragma once

#include <initializer_list>
#include <vector>

namespace isotope::text {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

/// Characters that text can have: surrogates are never among them. Sorted ranges that neither
/// overlap nor touch.
class CodePoints {
 public:
  struct Range {
    char32_t first, last;
  };

  CodePoints() = default;
  CodePoints(std::initializer_list<Range> ranges) {
    for (const Range& range : ranges) add(range.first, range.last);
  }
  static CodePoints all() { return {{0, kLastCodePoint}}; }

  void add(char32_t first, char32_t last);
  void add(const CodePoints& other);
  CodePoints inverted() const;
  CodePoints intersected(const CodePoints& other) const;

  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t c) const;
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

}  // namespace isotope::text
