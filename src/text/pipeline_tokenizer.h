// The stages that every tokenizer here is made of: added tokens, normalizer, pre-tokenizer, model.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace isotope::text {

/// What a loader makes out of a file.
struct TokenizerParts {
  std::unique_ptr<const Vocabulary> vocabulary;
  std::vector<AddedToken> added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const SubwordModel> model;
  /// Put around a raw text if special tokens are asked for.
  std::vector<TokenId> prefix;
  std::vector<TokenId> suffix;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  bool strips_leading_space = false;
  std::string_view kind;
};

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string_view token_bytes(TokenId id) const override;
  std::string_view token_text(TokenId id) const override;
  bool is_special(TokenId id) const override;
  std::int32_t vocab_size() const override { return parts_.vocabulary->size(); }
  std::optional<TokenId> id_of(std::string_view token) const override;
  bool strips_leading_space() const override { return parts_.strips_leading_space; }
  std::optional<TokenId> bos_id() const override { return parts_.bos; }
  std::optional<TokenId> eos_id() const override { return parts_.eos; }
  std::string_view kind() const override { return parts_.kind; }

 private:
  /// One encode() under way.
  struct Encoding {
    bool parse_added_tokens;
    BpeScratch scratch;
    std::vector<TokenId> ids;
  };
  void encode_raw(std::string_view text, bool at_input_start, Encoding& encoding) const;
  void encode_normalized(std::string text, bool at_input_start, Encoding& encoding) const;

  TokenizerParts parts_;
  AddedTokenMatcher raw_tokens_;         ///< looked for before normalization
  AddedTokenMatcher normalized_tokens_;  ///< looked for after it
};

}  // namespace isotope::text
