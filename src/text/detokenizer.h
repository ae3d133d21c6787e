// Token ids to text as they arrive, never half a UTF-8 character.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace isotope::text {

/// The pieces given out, joined, equal Tokenizer::decode of all ids.
class Detokenizer {
 public:
  /// `tokenizer` must outlive this.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens);
  /// `shown` special tokens are not skipped.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens, std::vector<TokenId> shown);

  /// The text that `id` completes; may be empty while a character is incomplete.
  std::string push(TokenId id);
  /// What is left at the end: incomplete bytes become U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> shown_;
  bool at_start_ = true;
  std::string pending_;
};

}  // namespace isotope::text
