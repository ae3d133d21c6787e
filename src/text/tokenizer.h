// Text to token ids and back.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::text {

struct EncodeOptions {
  /// Add what the tokenizer puts around a raw text by itself (BOS). Rendered chat prompts carry it
  /// as text.
  bool add_special_tokens = false;
  /// Recognize added tokens ("<|im_start|>", "[INST]") in the text. Off: they are ordinary
  /// characters.
  bool parse_special_tokens = true;
};

/// Immutable after loading; every member may be called from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Reads tokenizer.json, or else tekken.json, with tokenizer_config.json beside it if there is
  /// one. Errors name file, field and value.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& model_dir);

  /// `text` is UTF-8; invalid bytes are replaced by U+FFFD.
  virtual std::vector<TokenId> encode(std::string_view text,
                                      const EncodeOptions& options) const = 0;

  /// The bytes that a token stands for: possibly part of a UTF-8 character. Empty for ids without a
  /// token. Special tokens give their own text.
  virtual std::string_view token_bytes(TokenId id) const = 0;
  /// The token as the vocabulary spells it ("Ġthe", "▁the", "<0x0A>").
  virtual std::string_view token_text(TokenId id) const = 0;
  /// Control tokens that text for users leaves out ("special": true).
  virtual bool is_special(TokenId id) const = 0;
  /// Ids below this may have a token; those without one have empty bytes.
  virtual std::int32_t vocab_size() const = 0;
  virtual std::optional<TokenId> id_of(std::string_view token) const = 0;
  /// SentencePiece decoders drop the space that encoding put before the first word.
  virtual bool strips_leading_space() const = 0;

  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;
  /// "byte-level BPE", "SentencePiece BPE", "Tekken": for people.
  virtual std::string_view kind() const = 0;

  /// Whole text at once; invalid UTF-8 is replaced by U+FFFD.
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const;
};

}  // namespace isotope::text
