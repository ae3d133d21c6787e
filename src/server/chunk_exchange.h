// The form that completions and chat completions share: choices, streamed as chunks until [DONE].
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/endpoints.h"
#include "server/generation_exchange.h"
#include "server/logprobs_json.h"

namespace isotope::server {

class ChunkExchange : public GenerationExchange {
 protected:
  ChunkExchange(const Service& service, const AnswerFields& fields, std::string id);

  /// The object that answers as a whole, without usage.
  virtual json::object body() = 0;
  /// The choice objects of the chunks that a piece becomes, at least one.
  virtual std::vector<json::object> chunks(Choice& choice, std::int64_t index, Piece piece) = 0;
  virtual std::string_view chunk_object() const = 0;

  /// {"id", "object", "created", "model", "system_fingerprint"}
  json::object frame(std::string_view object) const;
  /// "finish_reason" and "stop_reason", null while it runs.
  static void put_finish(const Generation& generation, json::object& out);
  static json::array ids_of(const std::vector<engine::TokenOutput>& tokens);

  LogprobsWriter logprobs_;

 private:
  json::object whole() final;
  void write_piece(Choice& choice, std::int64_t index, Piece piece, std::string& out) final;
  void write_end(std::string& out) final;
  void write_error(const ApiError& error, std::string& out) final;

  const std::int64_t created_;
  const std::string fingerprint_;
};

}  // namespace isotope::server
