// The form that Anthropic's messages and OpenAI's responses share: one answer as a row of blocks,
// each of one kind, which a stream tells as events with names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/generation_exchange.h"

namespace isotope::server {

/// A stretch of an answer: thoughts, text, or a call of a tool.
struct Block {
  enum class Kind { reasoning, text, call };
  Kind kind = Kind::text;
  std::string call_id, name;  ///< of a call: the function's name
  std::string text;           ///< of a call: its arguments, as JSON text
};

class BlockExchange : public GenerationExchange {
 protected:
  BlockExchange(ServedModel& model, const AnswerFields& fields, std::string id,
                std::vector<TokenId> prompt);

  // What a protocol writes of the last of blocks_: an answer grows at its end only.
  virtual void begin_block(std::string& out) = 0;
  /// `text` was added to it.
  virtual void extend_block(std::string_view text, std::string& out) = 0;
  virtual void end_block(std::string& out) = 0;
  /// All blocks have ended: the end of a stream.
  virtual void end_answer(std::string& out) = 0;
  /// The same as one object.
  virtual json::object answer() = 0;
  /// Tokens have come whose text follows, now or later.
  virtual void note_tokens(const std::vector<engine::TokenOutput>&) {}

  const Generation& generation() const { return *choices_.front().generation; }
  /// As a server-sent event, whose name is in its data, too.
  static void append_event(std::string_view type, json::object event, std::string& out);

  std::vector<Block> blocks_;

 private:
  json::object whole() final;
  void write_piece(Choice& choice, std::int64_t index, Piece piece, std::string& out) final;
  void write_end(std::string& out) final;

  bool continues(const text::AnswerDelta& delta) const;
  void close_block(std::string& out);
};

}  // namespace isotope::server
