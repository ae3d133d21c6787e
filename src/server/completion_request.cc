#include "server/completion_request.h"

#include <algorithm>

#include "server/api_error.h"

namespace isotope::server {
namespace {

constexpr std::string_view kPromptForms =
    "a string, a list of strings, a list of token ids or a list of such lists";

void require_content(const CompletionPrompt& prompt, const std::string& path) {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt); ids && ids->empty())
    throw ApiError(400, path + ": is an empty list of tokens", path);
}

std::vector<CompletionPrompt> read_prompts(const RequestFields& fields, const ModelLimits& limits) {
  const json::value* value = fields.find("prompt");
  if (!value) fields.reject("prompt", "is missing");
  std::vector<CompletionPrompt> prompts;
  if (value->is_string()) {
    prompts.emplace_back(std::string(value->get_string()));
    return prompts;
  }
  if (!value->is_array()) fields.wrong("prompt", kPromptForms);
  const json::array& items = value->get_array();
  if (items.empty()) fields.reject("prompt", "is an empty list");
  if (items.front().is_number()) {
    prompts.emplace_back(token_ids(items, "prompt", limits.vocab_size));
    return prompts;
  }
  fields.array("prompt", kMaxPrompts);
  const bool strings = items.front().is_string();
  for (const json::value& item : items) {
    const std::string path = fmt::format("prompt[{}]", prompts.size());
    if (strings && item.is_string()) {
      prompts.emplace_back(std::string(item.get_string()));
    } else if (!strings && item.is_array()) {
      prompts.emplace_back(token_ids(item.get_array(), path, limits.vocab_size));
      require_content(prompts.back(), path);
    } else {
      wrong_value(path, item, strings ? "a string like the first prompt" : "a list of token ids");
    }
  }
  return prompts;
}

void read_logprobs(const RequestFields& fields, CompletionRequest& request) {
  engine::SamplingParams& sampling = request.answer.options.sampling;
  // false is what some clients send for "none".
  const json::value* value = fields.find("logprobs");
  if (value && !(value->is_bool() && !value->get_bool()))
    request.logprobs = fields.integer("logprobs", 0, kMaxLogprobs);
  sampling.logprobs = request.logprobs;
  if (request.answer.candidates > request.answer.choices)
    sampling.logprobs = request.logprobs.value_or(0);
  request.prompt_logprobs = sampling.prompt_logprobs;
  if (request.echo && request.logprobs)
    sampling.prompt_logprobs = std::max(sampling.prompt_logprobs.value_or(0), *request.logprobs);
}

void read_candidates(const RequestFields& fields, AnswerFields& answer) {
  const auto best_of = fields.integer("best_of", 1, kMaxChoices);
  if (!best_of) return;
  if (*best_of < answer.choices)
    fields.reject("best_of",
                  fmt::format("must be at least n (= {}), not {}", answer.choices, *best_of));
  if (answer.stream && *best_of > answer.choices)
    fields.reject("best_of",
                  "more candidates than n cannot be streamed: the best is known only "
                  "at the end");
  answer.candidates = std::int32_t(*best_of);
}

}  // namespace

CompletionRequest parse_completion_request(const json::value& body, const ModelLimits& limits) {
  const RequestFields fields(body);
  CompletionRequest request;
  request.answer = read_answer_fields(fields, limits);
  fields.refuse("suffix", "is not supported by this server; leave it out");
  read_candidates(fields, request.answer);
  request.prompts = read_prompts(fields, limits);
  if (std::int64_t(request.prompts.size()) * request.answer.candidates > kMaxAnswers)
    fields.reject(request.answer.candidates > request.answer.choices ? "best_of" : "n",
                  fmt::format("{} prompts × {} exceed {} answers in one request",
                              request.prompts.size(), request.answer.candidates, kMaxAnswers));
  request.echo = fields.boolean("echo").value_or(false);
  request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  read_logprobs(fields, request);
  return request;
}

}  // namespace isotope::server
