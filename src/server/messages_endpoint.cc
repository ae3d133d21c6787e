// POST /v1/messages/count_tokens: Anthropic's protocol.
#include <boost/json/serialize.hpp>

#include "server/endpoints.h"
#include "server/messages_request.h"
#include "server/prompt.h"

namespace isotope::server {

std::unique_ptr<Exchange> count_message_tokens(const Call& call) {
  const Service& service = call.service;
  ChatRequest request =
      parse_messages_request(parse_body(call.body), service.limits, MessagesFor::counting);
  const std::string text = render(service.model, std::move(request.conversation));
  const std::vector<TokenId> prompt =
      service.model.tokenizer->encode(text, {.add_special_tokens = false});
  const json::object body{{"input_tokens", prompt.size()}};
  return std::make_unique<ReadyExchange>(Response{.body = json::serialize(body)});
}

}  // namespace isotope::server
