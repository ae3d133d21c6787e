// POST /v1/chat/completions
#include "server/chat_request.h"
#include "server/chunk_exchange.h"
#include "server/endpoints.h"
#include "server/turn.h"

namespace isotope::server {
namespace {

using Kind = text::AnswerDelta::Kind;

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

/// vLLM calls it `reasoning` of late, and `reasoning_content` before; clients look for either.
void put_reasoning(const std::string& text, json::object& out) {
  out["reasoning_content"] = text;
  out["reasoning"] = text;
}

class ChatExchange final : public ChunkExchange {
 public:
  ChatExchange(const Service& service, const AnswerFields& fields, std::string_view id,
               std::vector<TokenId> prompt)
      : ChunkExchange(service, fields, fmt::format("chatcmpl-{}", id)) {
    add_prompt(std::move(prompt));
  }

 private:
  std::string_view chunk_object() const override { return "chat.completion.chunk"; }

  json::object body() override {
    json::object result = frame("chat.completion");
    json::array choices;
    for (const Choice& choice : choices_) {
      json::object object;
      object["index"] = choices.size();
      object["message"] = message(choice.whole.deltas);
      put_tokens(choice.whole, object);
      put_finish(*choice.generation, object);
      choices.push_back(std::move(object));
    }
    result["choices"] = std::move(choices);
    if (const auto top = fields_.options.sampling.prompt_logprobs)
      result["prompt_logprobs"] =
          logprobs_.prompt(prompts_.front(), choices_.front().generation->prompt_logprobs(), *top);
    if (fields_.return_token_ids)
      result["prompt_token_ids"] = json::array(prompts_.front().begin(), prompts_.front().end());
    return result;
  }

  static json::object message(const text::AnswerDeltas& deltas) {
    text::ParsedAnswer answer;
    for (const text::AnswerDelta& delta : deltas) answer.add(delta);
    json::object result;
    result["role"] = "assistant";
    // As OpenAI: null where there are only calls; and where there is only reasoning, as vLLM.
    const bool only_others = !answer.calls.empty() || !answer.reasoning.empty();
    result["content"] = only_others ? text_or_null(answer.content) : json::value(answer.content);
    result["refusal"] = nullptr;
    if (!answer.reasoning.empty()) put_reasoning(answer.reasoning, result);
    if (answer.calls.empty()) return result;
    json::array calls;
    for (const text::ToolCall& call : answer.calls)
      calls.push_back(json::object{
          {"id", call.id},
          {"type", "function"},
          {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}});
    result["tool_calls"] = std::move(calls);
    return result;
  }

  /// One chunk for every delta. Tokens go with the first, the end with the last.
  std::vector<json::object> chunks(Choice& choice, std::int64_t index, Piece piece) override {
    std::vector<json::object> result;
    const std::size_t count = std::max<std::size_t>(piece.deltas.size(), 1);
    for (std::size_t i = 0; i < count; ++i) {
      json::object delta = i < piece.deltas.size() ? delta_object(piece.deltas[i]) : json::object();
      // OpenAI begins every choice with a chunk that names the role; here it may carry text, too.
      if (i == 0 && !choice.begun) {
        delta["role"] = "assistant";
        if (delta.size() == 1) delta["content"] = "";
      }
      json::object chunk;
      chunk["index"] = index;
      chunk["delta"] = std::move(delta);
      put_tokens(i == 0 ? piece : Piece{}, chunk);
      chunk["finish_reason"] = chunk["stop_reason"] = nullptr;
      if (i + 1 == count) put_finish(*choice.generation, chunk);
      result.push_back(std::move(chunk));
    }
    return result;
  }

  static json::object delta_object(const text::AnswerDelta& delta) {
    json::object result;
    if (delta.kind == Kind::reasoning) {
      put_reasoning(delta.text, result);
    } else if (delta.kind == Kind::content) {
      result["content"] = delta.text;
    } else {
      json::object call{{"index", delta.call}};
      if (delta.kind == Kind::call) {
        call["id"] = delta.id;
        call["type"] = "function";
        call["function"] = json::object{{"name", delta.text}, {"arguments", ""}};
      } else {
        call["function"] = json::object{{"arguments", delta.text}};
      }
      result["tool_calls"] = json::array{std::move(call)};
    }
    return result;
  }

  void put_tokens(const Piece& piece, json::object& result) {
    result["logprobs"] = nullptr;
    if (const auto top = fields_.options.sampling.logprobs; top) {
      json::array content;
      for (const engine::TokenOutput& token : piece.tokens)
        content.push_back(logprobs_.chat_entry(token, *top));
      result["logprobs"] = json::object{{"content", std::move(content)}, {"refusal", nullptr}};
    }
    if (fields_.return_token_ids) result["token_ids"] = ids_of(piece.tokens);
  }
};

}  // namespace

std::unique_ptr<Exchange> chat(const Call& call) {
  const Service& service = call.service;
  ChatRequest request = parse_chat_request(parse_body(call.body), service.limits);
  std::vector<TokenId> prompt = prepare_chat(service.model, service.limits, request);
  return std::make_unique<ChatExchange>(service, request.answer, call.id, std::move(prompt));
}

}  // namespace isotope::server
