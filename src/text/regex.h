// Regular expressions of tokenizer files: written for Oniguruma or Rust, run by PCRE2 with its JIT.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::text {

/// Bytes [begin, end) of some text.
struct Span {
  std::uint32_t begin;
  std::uint32_t end;
  bool empty() const { return begin == end; }
};

inline std::string_view view_of(Span span, std::string_view text) {
  return text.substr(span.begin, span.end - span.begin);
}

/// Compiled once; may be used from any thread.
class Regex {
 public:
  /// `what` names the pattern in errors ("tokenizer.json: pre_tokenizer: Split").
  /// Errors: corrupt_data if it is no pattern, unsupported for syntax whose meaning differs in
  /// PCRE2.
  Regex(std::string_view pattern, std::string what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// All matches in `text` (valid UTF-8) from left to right, not overlapping, possibly empty.
  /// Errors: invalid_argument if the pattern needs too many steps on this text.
  std::vector<Span> find_all(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<const Code> code_;
};

/// `text` with every character that a pattern could interpret escaped.
std::string escape_regex(std::string_view text);

}  // namespace isotope::text
