#include "server/answer_text.h"

#include <algorithm>

namespace isotope::server {
namespace {

/// Not cut off.
bool ended_by_model(std::optional<engine::FinishReason> reason) {
  return reason == engine::FinishReason::stop || reason == engine::FinishReason::complete;
}

}  // namespace

std::int64_t count_characters(std::string_view text) {
  // Every byte but continuation bytes (10xxxxxx) begins a character.
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

AnswerText::AnswerText(const text::Tokenizer& tokenizer, const GenerationOptions& options,
                       std::span<const TokenId> prompt)
    : detokenizer_(tokenizer, options.skip_special_tokens,
                   options.format ? options.format->marker_tokens : std::vector<TokenId>()),
      stops_(options.stop, options.include_stop_text),
      include_stop_text_(options.include_stop_text),
      min_tokens_(options.sampling.min_tokens) {
  if (options.format) parsed_.emplace(*options.format, tokenizer);
  // Enough to hold a character in single bytes after a visible token.
  constexpr std::size_t kContextTokens = 8;
  for (const TokenId id : prompt.last(std::min(prompt.size(), kContextTokens)))
    detokenizer_.push(id);
}

Piece AnswerText::push(std::vector<engine::TokenOutput> tokens,
                       std::optional<engine::FinishReason> finished) {
  Piece piece;
  for (std::size_t i = 0; i < tokens.size() && !over(); ++i) {
    ++tokens_;
    piece.text_offsets.push_back(characters_);
    const bool ends_answer = finished == engine::FinishReason::stop && i + 1 == tokens.size();
    if (!ends_answer || include_stop_text_) append(text_of(tokens[i].id), piece);
  }
  tokens.resize(piece.text_offsets.size());
  piece.tokens = std::move(tokens);
  if (finished && !over()) {
    append(detokenizer_.finish(), piece);
    show(stops_.finish(), piece);
  }
  if (parsed_ && (finished || over()))
    parsed_->finish(ended_by_model(finished) && !over(), piece.deltas);
  return piece;
}

std::string AnswerText::text_of(TokenId id) {
  std::string text = detokenizer_.push(id);
  if (parsed_) parsed_->note_token(id, text.size());
  return text;
}

void AnswerText::append(std::string_view text, Piece& piece) {
  characters_ += count_characters(text);
  if (tokens_ > min_tokens_) {
    show(stops_.push(text), piece);
  } else {
    show(text, piece);
  }
}

void AnswerText::show(std::string_view text, Piece& piece) {
  piece.text += text;
  if (parsed_) parsed_->take(text, piece.deltas);
}

}  // namespace isotope::server
