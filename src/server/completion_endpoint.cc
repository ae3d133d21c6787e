// POST /v1/completions
#include <algorithm>

#include "server/chunk_exchange.h"
#include "server/completion_request.h"
#include "server/endpoints.h"
#include "server/prompt.h"

namespace isotope::server {
namespace {

class CompletionExchange final : public ChunkExchange {
 public:
  CompletionExchange(const Service& service, const CompletionRequest& request, std::string_view id)
      : ChunkExchange(service, request.answer, fmt::format("cmpl-{}", id)),
        echo_(request.echo),
        legacy_logprobs_(request.logprobs),
        prompt_logprobs_(request.prompt_logprobs) {}

  /// `text` is what echo repeats.
  void add(std::vector<TokenId> tokens, std::string text) {
    echo_texts_.push_back(std::move(text));
    add_prompt(std::move(tokens));
  }

 private:
  std::string_view chunk_object() const override { return "text_completion"; }

  json::object body() override {
    json::object result = frame("text_completion");
    json::array choices;
    for (const Choice* choice : best_choices())
      choices.push_back(to_json(*choice, std::int64_t(choices.size()), choice->whole, true));
    result["choices"] = std::move(choices);
    return result;
  }

  /// Of every prompt's candidates the likeliest, as many as were asked for: OpenAI's measure is the
  /// log-probability per token.
  std::vector<const Choice*> best_choices() const {
    std::vector<const Choice*> best;
    const std::ptrdiff_t candidates = fields_.candidates;
    for (auto first = choices_.begin(); first != choices_.end(); first += candidates) {
      std::vector<const Choice*> ranked;
      for (auto choice = first; choice != first + candidates; ++choice) ranked.push_back(&*choice);
      if (fields_.candidates > fields_.choices)
        std::stable_sort(ranked.begin(), ranked.end(), [](const Choice* a, const Choice* b) {
          return mean_logprob(a->whole) > mean_logprob(b->whole);
        });
      best.insert(best.end(), ranked.begin(), ranked.begin() + fields_.choices);
    }
    return best;
  }

  static double mean_logprob(const Piece& answer) {
    double sum = 0;
    for (const engine::TokenOutput& token : answer.tokens) sum += token.logprobs->logprob;
    return answer.tokens.empty() ? 0 : sum / double(answer.tokens.size());
  }

  std::vector<json::object> chunks(Choice& choice, std::int64_t index, Piece piece) override {
    return {to_json(choice, index, piece, !choice.begun)};
  }

  json::object to_json(const Choice& choice, std::int64_t index, const Piece& piece, bool first) {
    json::object result;
    result["index"] = index;
    const bool echoes = echo_ && first;
    result["text"] = echoes ? echo_texts_[choice.prompt] + piece.text : piece.text;
    result["logprobs"] = nullptr;
    if (legacy_logprobs_) result["logprobs"] = legacy(choice, piece, echoes);
    put_finish(*choice.generation, result);
    const std::vector<TokenId>& prompt = prompts_[choice.prompt];
    if (prompt_logprobs_)
      result["prompt_logprobs"] =
          logprobs_.prompt(prompt, choice.generation->prompt_logprobs(), *prompt_logprobs_);
    if (fields_.return_token_ids) {
      result["token_ids"] = ids_of(piece.tokens);
      if (first) result["prompt_token_ids"] = json::array(prompt.begin(), prompt.end());
    }
    return result;
  }

  json::object legacy(const Choice& choice, const Piece& piece, bool echoes) {
    LogprobsWriter::Legacy legacy(logprobs_, *legacy_logprobs_);
    if (echoes) add_prompt_to(legacy, choice);
    const std::int64_t base = echo_ ? count_characters(echo_texts_[choice.prompt]) : 0;
    for (std::size_t i = 0; i < piece.tokens.size(); ++i) {
      const engine::TokenOutput& token = piece.tokens[i];
      legacy.add(token.id, token.logprobs ? &*token.logprobs : nullptr,
                 base + piece.text_offsets[i]);
    }
    return std::move(legacy).finish();
  }

  void add_prompt_to(LogprobsWriter::Legacy& legacy, const Choice& choice) {
    const std::vector<engine::TokenLogprobs>& logprobs = choice.generation->prompt_logprobs();
    const std::int64_t characters = count_characters(echo_texts_[choice.prompt]);
    text::Detokenizer detokenizer(*model_.tokenizer, fields_.options.skip_special_tokens);
    std::int64_t offset = 0;
    std::size_t i = 0;
    for (const TokenId id : prompts_[choice.prompt]) {
      // The tokens' text may be longer than what was sent: special tokens, normalization.
      legacy.add(id, i > 0 && i < logprobs.size() ? &logprobs[i] : nullptr,
                 std::min(offset, characters));
      offset += count_characters(detokenizer.push(id));
      ++i;
    }
  }

  const bool echo_;
  const std::optional<std::int32_t> legacy_logprobs_, prompt_logprobs_;
  std::vector<std::string> echo_texts_;  // of each prompt; empty without echo
};

std::string echo_text(const Service& service, const CompletionRequest& request,
                      const CompletionPrompt& prompt) {
  if (!request.echo) return {};
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return service.model.tokenizer->decode(std::get<std::vector<TokenId>>(prompt),
                                         request.answer.options.skip_special_tokens);
}

}  // namespace

std::unique_ptr<Exchange> complete(const Call& call) {
  const Service& service = call.service;
  constexpr std::int64_t kDefaultMaxTokens = 16;
  CompletionRequest request = parse_completion_request(parse_body(call.body), service.limits);
  std::vector<std::vector<TokenId>> prompts;
  std::int64_t longest = 0;
  for (const CompletionPrompt& prompt : request.prompts) {
    const std::string name =
        request.prompts.size() == 1 ? "prompt" : fmt::format("prompt[{}]", prompts.size());
    prompts.push_back(
        encode_prompt(service.model, service.limits, prompt, request.add_special_tokens, name));
    longest = std::max(longest, std::int64_t(prompts.back().size()));
  }
  settle_max_tokens(request.answer, "max_tokens", kDefaultMaxTokens, longest, service.limits);
  settle_output_form(service.model, request.answer);
  auto exchange = std::make_unique<CompletionExchange>(service, request, call.id);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    exchange->add(std::move(prompts[i]), echo_text(service, request, request.prompts[i]));
  return exchange;
}

}  // namespace isotope::server
