// Finds added tokens ("<|im_start|>", "<think>") in a text, before anything else looks at it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "text/regex.h"

namespace isotope::text {

struct AddedToken {
  TokenId id;
  std::string content;
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< swallows the white space before it
  bool rstrip = false;       ///< swallows the white space after it
  bool normalized = false;   ///< looked for in the normalized text, not in the raw one
  bool special = false;
};

/// Part of a text: one added token, or (id kNoToken) what lies between two of them.
struct TextSegment {
  TokenId id;
  Span span;
};

/// Matches as the library `tokenizers` does: the leftmost token, the longest of several at one
/// place.
class AddedTokenMatcher {
 public:
  /// Nothing matches.
  AddedTokenMatcher() = default;
  /// Contents must be non-empty and distinct.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  /// Covers `text` (valid UTF-8) from begin to end; empty for an empty text.
  std::vector<TextSegment> split(std::string_view text) const;

 private:
  /// The longest token that `text` begins with, or nullptr.
  const AddedToken* longest_prefix(std::string_view text) const;

  std::vector<AddedToken>
      tokens_;  ///< sorted by content: those with a common prefix are neighbours
  /// tokens_[first_[b]] … tokens_[first_[b + 1] - 1] begin with byte b. Empty without tokens.
  std::vector<std::uint32_t> first_;
};

}  // namespace isotope::text
