// A tokenizer small enough to see through, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace isotope::server {

/// Token i stands for the bytes given at i; encoding takes the longest token that fits.
class TestTokenizer final : public text::Tokenizer {
 public:
  explicit TestTokenizer(std::vector<std::string> tokens, std::vector<TokenId> special = {},
                         bool strips_leading_space = false)
      : tokens_(std::move(tokens)), special_(std::move(special)), strips_(strips_leading_space) {}

  std::vector<TokenId> encode(std::string_view text, const text::EncodeOptions&) const override {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      TokenId best = -1;
      for (TokenId id = 0; id < vocab_size(); ++id)
        if (!token_bytes(id).empty() && text.starts_with(token_bytes(id)) &&
            (best < 0 || token_bytes(id).size() > token_bytes(best).size()))
          best = id;
      if (best < 0) break;
      ids.push_back(best);
      text.remove_prefix(token_bytes(best).size());
    }
    return ids;
  }
  std::string_view token_bytes(TokenId id) const override {
    return id >= 0 && id < vocab_size() ? std::string_view(tokens_[std::size_t(id)])
                                        : std::string_view();
  }
  std::string_view token_text(TokenId id) const override { return token_bytes(id); }
  bool is_special(TokenId id) const override {
    for (const TokenId special : special_)
      if (special == id) return true;
    return false;
  }
  std::int32_t vocab_size() const override { return std::int32_t(tokens_.size()); }
  std::optional<TokenId> id_of(std::string_view token) const override {
    for (TokenId id = 0; id < vocab_size(); ++id)
      if (token_bytes(id) == token) return id;
    return std::nullopt;
  }
  bool strips_leading_space() const override { return strips_; }
  std::optional<TokenId> bos_id() const override { return std::nullopt; }
  std::optional<TokenId> eos_id() const override { return std::nullopt; }
  std::string_view kind() const override { return "test"; }

 private:
  std::vector<std::string> tokens_;
  std::vector<TokenId> special_;
  bool strips_;
};

}  // namespace isotope::server
