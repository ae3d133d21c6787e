#include "text/detokenizer.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace isotope::text {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : Detokenizer(tokenizer, skip_special_tokens, {}) {}

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens,
                         std::vector<TokenId> shown)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens), shown_(std::move(shown)) {}

std::string Detokenizer::push(TokenId id) {
  if (skip_special_tokens_ && tokenizer_->is_special(id) &&
      std::find(shown_.begin(), shown_.end(), id) == shown_.end())
    return {};
  std::string_view bytes = tokenizer_->token_bytes(id);
  if (at_start_ && !bytes.empty()) {
    at_start_ = false;
    if (tokenizer_->strips_leading_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  }
  pending_ += bytes;
  // Bytes that may still become a character wait; the rest is final, whatever follows.
  const std::size_t final_size = pending_.size() - incomplete_utf8_suffix(pending_);
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, final_size));
  pending_.erase(0, final_size);
  return text;
}

std::string Detokenizer::finish() {
  std::string text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace isotope::text
