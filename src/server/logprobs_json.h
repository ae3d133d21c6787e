// Log-probabilities in the three forms that clients expect.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace isotope::server {

/// Writes tokens as clients see them. `as_ids`: "token_id:17", which is unique, unlike text.
class LogprobsWriter {
 public:
  /// `tokenizer` must outlive this.
  LogprobsWriter(const text::Tokenizer& tokenizer, bool as_ids)
      : tokenizer_(&tokenizer), as_ids_(as_ids) {}

  /// {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of completions, filled token by
  /// token.
  class Legacy {
   public:
    explicit Legacy(const LogprobsWriter& writer, std::int32_t top) : writer_(&writer), top_(top) {}
    /// Without logprobs (the first token of a prompt) its values are null.
    void add(TokenId id, const engine::TokenLogprobs* logprobs, std::int64_t text_offset);
    json::object finish() &&;

   private:
    const LogprobsWriter* writer_;
    std::size_t top_;
    json::array tokens_, token_logprobs_, top_logprobs_, text_offset_;
  };

  /// One entry of chat's "content": {"token", "logprob", "bytes", "top_logprobs"}.
  json::object chat_entry(const engine::TokenOutput& token, std::int32_t top) const;

  /// vLLM's prompt_logprobs: null for the first token, then {"id": {"logprob", "rank",
  /// "decoded_token"}}.
  json::array prompt(std::span<const TokenId> ids,
                     const std::vector<engine::TokenLogprobs>& logprobs, std::int32_t top) const;

 private:
  json::object chat_token(TokenId id, float logprob) const;
  /// Its text; what is no UTF-8 by itself as "bytes:\xe2\x82", as OpenAI's completions do.
  std::string legacy_text(TokenId id) const;
  std::string chat_text(TokenId id) const;

  const text::Tokenizer* tokenizer_;
  bool as_ids_;
};

}  // namespace isotope::server
