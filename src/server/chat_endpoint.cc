// POST /v1/chat/completions
#include "server/chat_request.h"
#include "server/endpoints.h"
#include "server/generation_exchange.h"
#include "server/prompt.h"

namespace isotope::server {
namespace {

class ChatExchange final : public GenerationExchange {
 public:
  ChatExchange(const Service& service, const AnswerFields& fields, std::string_view id,
               std::vector<TokenId> prompt)
      : GenerationExchange(service.model, fields, fmt::format("chatcmpl-{}", id)) {
    add_prompt(std::move(prompt));
  }

 private:
  std::string_view chunk_object() const override { return "chat.completion.chunk"; }

  json::object whole() override {
    json::object body = frame("chat.completion");
    json::array choices;
    for (const Choice& choice : choices_) {
      json::object result;
      result["index"] = choices.size();
      result["message"] =
          json::object{{"role", "assistant"}, {"content", choice.whole.text}, {"refusal", nullptr}};
      put_common(choice, choice.whole, result);
      choices.push_back(std::move(result));
    }
    body["choices"] = std::move(choices);
    if (const auto top = fields_.options.sampling.prompt_logprobs)
      body["prompt_logprobs"] =
          logprobs_.prompt(prompts_.front(), choices_.front().generation->prompt_logprobs(), *top);
    if (fields_.return_token_ids)
      body["prompt_token_ids"] = json::array(prompts_.front().begin(), prompts_.front().end());
    return body;
  }

  json::object chunk(Choice& choice, std::int64_t index, Piece piece) override {
    // OpenAI begins every choice with a chunk that names the role; here it carries the first text
    // too.
    json::object delta;
    if (!choice.begun) delta["role"] = "assistant";
    if (!choice.begun || !piece.text.empty()) delta["content"] = piece.text;
    json::object result;
    result["index"] = index;
    result["delta"] = std::move(delta);
    put_common(choice, piece, result);
    return result;
  }

  void put_common(const Choice& choice, const Piece& piece, json::object& result) {
    result["logprobs"] = nullptr;
    if (const auto top = fields_.options.sampling.logprobs; top) {
      json::array content;
      for (const engine::TokenOutput& token : piece.tokens)
        content.push_back(logprobs_.chat_entry(token, *top));
      result["logprobs"] = json::object{{"content", std::move(content)}, {"refusal", nullptr}};
    }
    put_finish(*choice.generation, result);
    if (fields_.return_token_ids) result["token_ids"] = ids_of(piece.tokens);
  }
};

}  // namespace

std::unique_ptr<Exchange> chat(const Call& call) {
  const Service& service = call.service;
  ChatRequest request = parse_chat_request(parse_body(call.body), service.limits);
  const bool add_special_tokens = request.conversation.add_special_tokens;
  const std::string text = render(service.model, std::move(request.conversation));
  std::vector<TokenId> prompt =
      encode(service.model, service.limits, text, add_special_tokens, "messages");
  settle_max_tokens(request.answer, request.max_tokens_field, std::nullopt,
                    std::int64_t(prompt.size()), service.limits);
  return std::make_unique<ChatExchange>(service, request.answer, call.id, std::move(prompt));
}

}  // namespace isotope::server
