// What all endpoints that generate share: several generations, answered whole or as a stream. A
// protocol adds the JSON that it writes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/answer_fields.h"
#include "server/api_error.h"
#include "server/exchange.h"
#include "server/usage.h"
#include "text/answer_parser.h"

namespace isotope::server {

class GenerationExchange : public Exchange {
 public:
  bool streams() const final { return fields_.stream; }
  void on_ready(std::function<void()> wake) final;
  std::optional<Response> response() final;
  StreamPart next() final;
  void cancel() final;
  json::object log_fields() const final;

 protected:
  struct Choice {
    std::size_t prompt = 0;  ///< index into prompts_
    std::unique_ptr<Generation> generation;
    Piece whole;                        ///< of an answer that is not streamed: the pieces joined
    bool begun = false, ended = false;  ///< its first, its last piece was streamed
  };

  GenerationExchange(ServedModel& model, const AnswerFields& fields, std::string id);

  /// Submits the candidates for a prompt. Errors: those of Engine::submit; ApiError 429 if too much
  /// is waiting.
  void add_prompt(std::vector<TokenId> tokens);

  // What a protocol writes. Streams are server-sent events, appended to `out`.

  /// The body of an answer that is not streamed.
  virtual json::object whole() = 0;
  /// Called once, before anything else of a stream.
  virtual void write_begin(std::string&) {}
  /// What a piece adds to a choice. Called for a choice's first token, whenever a piece shows
  /// something, and for its end (choice.ended; then the generation says why).
  virtual void write_piece(Choice& choice, std::int64_t index, Piece piece, std::string& out) = 0;
  /// All choices have ended.
  virtual void write_end(std::string& out) = 0;
  /// The stream ends with an error; write_end does not follow.
  virtual void write_error(const ApiError& error, std::string& out) = 0;

  bool wants_tokens() const {
    return fields_.options.sampling.logprobs.has_value() || fields_.return_token_ids;
  }
  /// Of all choices, as far as they have come.
  Usage usage() const;

  ServedModel& model_;
  const AnswerFields fields_;
  const std::string id_;
  std::vector<std::vector<TokenId>> prompts_;
  std::vector<Choice> choices_;

 private:
  void admit(std::int64_t prompt_tokens) const;
  void stream_choice(Choice& choice, std::int64_t index, std::string& out);

  bool begun_ = false;
};

}  // namespace isotope::server
