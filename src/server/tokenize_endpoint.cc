// POST /tokenize and /detokenize, as vLLM has them.
#include <boost/json/serialize.hpp>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/endpoints.h"
#include "server/prompt.h"

namespace isotope::server {
namespace {

std::unique_ptr<Exchange> ready(const json::object& body) {
  return std::make_unique<ReadyExchange>(Response{.body = json::serialize(body)});
}

std::vector<TokenId> tokens_of(const Service& service, const RequestFields& fields) {
  if (fields.has("messages")) {
    Conversation conversation = parse_conversation(fields);
    const bool add_special_tokens = conversation.add_special_tokens;
    return service.model.tokenizer->encode(render(service.model, std::move(conversation)),
                                           {.add_special_tokens = add_special_tokens});
  }
  const std::optional<std::string> prompt = fields.string("prompt");
  if (!prompt) fields.reject("prompt", "is missing; send a string, or messages");
  const bool add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  return service.model.tokenizer->encode(*prompt, {.add_special_tokens = add_special_tokens});
}

}  // namespace

std::unique_ptr<Exchange> tokenize(const Call& call) {
  const Service& service = call.service;
  const json::value parsed = parse_body(call.body);
  const RequestFields fields(parsed);
  read_model(fields, service.limits);
  const bool with_spelling = fields.boolean("return_token_strs").value_or(false);
  const std::vector<TokenId> tokens = tokens_of(service, fields);
  json::object result;
  result["count"] = tokens.size();
  result["max_model_len"] = service.limits.context_tokens;
  result["tokens"] = json::array(tokens.begin(), tokens.end());
  if (with_spelling) {
    json::array spelling;
    for (const TokenId id : tokens)
      spelling.push_back(json::value(service.model.tokenizer->token_text(id)));
    result["token_strs"] = std::move(spelling);
  }
  return ready(result);
}

std::unique_ptr<Exchange> detokenize(const Call& call) {
  const Service& service = call.service;
  const json::value parsed = parse_body(call.body);
  const RequestFields fields(parsed);
  read_model(fields, service.limits);
  const json::value* tokens = fields.find("tokens");
  if (!tokens) fields.reject("tokens", "is missing");
  if (!tokens->is_array()) fields.wrong("tokens", "a list of token ids");
  const std::vector<TokenId> ids =
      token_ids(tokens->get_array(), "tokens", service.limits.vocab_size);
  const bool skip_special_tokens = fields.boolean("skip_special_tokens").value_or(false);
  json::object result;
  result["prompt"] = service.model.tokenizer->decode(ids, skip_special_tokens);
  return ready(result);
}

}  // namespace isotope::server
