// What completions and chat completions share: several generations, answered whole or as a stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/answer_fields.h"
#include "server/exchange.h"
#include "server/logprobs_json.h"
#include "server/usage.h"

namespace isotope::server {

class GenerationExchange : public Exchange {
 public:
  bool streams() const final { return fields_.stream; }
  void on_ready(std::function<void()> wake) final;
  std::optional<Response> response() final;
  StreamPart next() final;
  void cancel() final;
  std::string summary() const final;

 protected:
  struct Choice {
    std::size_t prompt = 0;  ///< index into prompts_
    std::unique_ptr<Generation> generation;
    Piece whole;                        ///< collected for an answer that is not streamed
    bool begun = false, ended = false;  ///< its first, its last piece was streamed
  };

  GenerationExchange(ServedModel& model, const AnswerFields& fields, std::string id);

  /// Submits n generations for a prompt. Errors: those of Engine::submit; ApiError 429 if too much
  /// is waiting.
  void add_prompt(std::vector<TokenId> tokens);

  /// The object that answers as a whole, without usage.
  virtual json::object whole() = 0;
  /// The choice object of a chunk.
  virtual json::object chunk(Choice& choice, std::int64_t index, Piece piece) = 0;
  virtual std::string_view chunk_object() const = 0;

  /// {"id", "object", "created", "model"}
  json::object frame(std::string_view object) const;
  /// "finish_reason" and "stop_reason", null while it runs.
  static void put_finish(const Generation& generation, json::object& out);
  static json::array ids_of(const std::vector<engine::TokenOutput>& tokens);
  bool wants_tokens() const {
    return fields_.options.sampling.logprobs.has_value() || fields_.return_token_ids;
  }

  ServedModel& model_;
  const AnswerFields fields_;
  LogprobsWriter logprobs_;
  std::vector<std::vector<TokenId>> prompts_;
  std::vector<Choice> choices_;

 private:
  Usage usage() const;
  void append_event(const json::object& object, std::string& out) const;
  void stream_choice(Choice& choice, std::int64_t index, std::string& out);

  const std::string id_;
  const std::int64_t created_;
};

}  // namespace isotope::server
