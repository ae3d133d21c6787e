// An answer's tokens to its text: detokenizing, leaving out what ended it, cutting at stop strings.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "server/parsed_text.h"
#include "text/detokenizer.h"
#include "text/grammar/compiled_grammar.h"
#include "text/stop_strings.h"

namespace isotope::server {

struct GenerationOptions {
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  bool include_stop_text = false;
  bool skip_special_tokens = true;
  /// Takes the answer apart; without it there is only text.
  std::optional<text::AnswerFormat> format;
  /// What the answer's tokens must look like; nullptr: anything.
  std::shared_ptr<const text::CompiledGrammar> grammar;
  /// Most tokens of reasoning, for a format that has some.
  std::optional<std::int64_t> reasoning_budget;
};

/// What one piece of an answer adds.
struct Piece {
  std::string text;
  text::AnswerDeltas deltas;  ///< the same, taken apart, if GenerationOptions::format asks for it
  /// Tokens with their logprobs that have come, and the character of the answer at which each
  /// begins. Tokens are not held back with text that may become a stop string, so their text may
  /// follow in a later piece, or never.
  std::vector<engine::TokenOutput> tokens;
  std::vector<std::int64_t> text_offsets;
};

/// Characters (code points) in valid UTF-8.
std::int64_t count_characters(std::string_view text);

class AnswerText {
 public:
  /// `tokenizer` must outlive this. The prompt's end is the context of the first token: only there
  /// does it matter whether a word begins with a space.
  AnswerText(const text::Tokenizer& tokenizer, const GenerationOptions& options,
             std::span<const TokenId> prompt);

  /// Adds tokens; `finished` says how the answer ended if the last of them ended it. Tokens after a
  /// stop string are dropped. A token that ends the answer (FinishReason::stop) counts but shows no
  /// text unless include_stop_text.
  Piece push(std::vector<engine::TokenOutput> tokens, std::optional<engine::FinishReason> finished);

  /// The stop string that was found, or nullptr. Nothing follows it.
  const std::string* matched_stop() const { return stops_.matched(); }
  /// The text says that the answer is over, whatever tokens follow.
  bool over() const { return stops_.matched() || (parsed_ && parsed_->over()); }
  std::int64_t tokens() const { return tokens_; }
  /// nullptr without GenerationOptions::format.
  const ParsedText* parsed() const { return parsed_ ? &*parsed_ : nullptr; }

 private:
  void append(std::string_view text, Piece& piece);
  void show(std::string_view text, Piece& piece);
  std::string text_of(TokenId id);

  text::Detokenizer detokenizer_;
  text::StopStrings stops_;
  std::optional<ParsedText> parsed_;
  bool include_stop_text_;
  std::int64_t min_tokens_;  ///< stop strings are looked for in the text after these
  std::int64_t tokens_ = 0, characters_ = 0;
};

}  // namespace isotope::server
