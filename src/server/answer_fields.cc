#include "server/answer_fields.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>

#include "server/api_error.h"

namespace isotope::server {
namespace {

constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();

/// Fields of OpenAI's or vLLM's protocol that would change the answer and are not served.
constexpr std::string_view kUnsupported[] = {
    "use_beam_search",
    "structural_tag",
    "allowed_token_ids",
    "bad_words",
    "logits_processors",
    "truncate_prompt_tokens",
    "prompt_embeds",
    "kv_transfer_params",
    "mm_processor_kwargs",
    "cache_salt",
};

std::vector<std::string> read_stop(const RequestFields& fields) {
  const json::value* value = fields.find("stop");
  if (!value) return {};
  std::vector<std::string> stops;
  const auto add = [&](const json::value& item) {
    if (!item.is_string()) fields.wrong("stop", "a string or a list of strings");
    if (item.get_string().empty()) fields.reject("stop", "a stop string is empty");
    if (item.get_string().size() > kMaxStopBytes)
      fields.reject("stop", fmt::format("a stop string has {} bytes; at most {} are allowed",
                                        item.get_string().size(), kMaxStopBytes));
    stops.emplace_back(item.get_string());
  };
  if (value->is_array()) {
    for (const json::value& item : *fields.array("stop", kMaxStopStrings)) add(item);
  } else if (!value->is_string() || !value->get_string().empty()) {
    add(*value);  // "" alone means none, as in OpenAI's protocol
  }
  return stops;
}

/// {"token id": bias}: the keys are ids written as decimal numbers.
std::vector<std::pair<TokenId, float>> read_logit_bias(const RequestFields& fields,
                                                       const ModelLimits& limits) {
  const json::value* value = fields.find("logit_bias");
  if (!value) return {};
  const RequestFields biases(*value, fields.path("logit_bias"));
  if (biases.object().size() > kMaxBiases)
    fields.reject("logit_bias", fmt::format("has {} entries; at most {} are allowed",
                                            biases.object().size(), kMaxBiases));
  std::vector<std::pair<TokenId, float>> result;
  for (const auto& [key, bias] : biases.object()) {
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= limits.vocab_size)
      fields.reject("logit_bias",
                    fmt::format("the key '{}' is no token id from 0 to {}",
                                std::string_view(key).substr(0, 40), limits.vocab_size - 1));
    if (bias.is_null()) biases.wrong(key, "a number from -100 to 100");
    result.emplace_back(id, float(*biases.number(key, -100, 100)));
  }
  return result;
}

void read_sampling(const RequestFields& fields, const ModelLimits& limits,
                   engine::SamplingParams& sampling) {
  const auto set = [&](std::string_view field, double min, double max, float& target) {
    if (const auto value = fields.number(field, min, max)) target = float(*value);
  };
  set("temperature", 0, 100, sampling.temperature);
  set("top_p", 0, 1, sampling.top_p);
  if (sampling.top_p <= 0) fields.wrong("top_p", "a number above 0 and up to 1");
  set("min_p", 0, 1, sampling.min_p);
  set("repetition_penalty", 0.01, 100, sampling.repetition_penalty);
  set("presence_penalty", -2, 2, sampling.presence_penalty);
  set("frequency_penalty", -2, 2, sampling.frequency_penalty);
  if (const auto top_k = fields.integer("top_k", -1, kMaxInt32)) sampling.top_k = int(*top_k);
  if (const auto seed = fields.integer("seed", std::numeric_limits<std::int64_t>::min(),
                                       std::numeric_limits<std::int64_t>::max()))
    sampling.seed = std::uint64_t(*seed);
  sampling.logit_bias = read_logit_bias(fields, limits);
}

void read_stopping(const RequestFields& fields, const ModelLimits& limits,
                   GenerationOptions& options) {
  options.stop = read_stop(fields);
  options.include_stop_text = fields.boolean("include_stop_str_in_output").value_or(false);
  options.sampling.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  options.sampling.min_tokens = fields.integer("min_tokens", 0, kMaxInt32).value_or(0);
  if (const json::array* ids = fields.array("stop_token_ids", kMaxStopTokens))
    options.sampling.stop_token_ids =
        token_ids(*ids, fields.path("stop_token_ids"), limits.vocab_size);
}

void read_stream_options(const RequestFields& fields, AnswerFields& answer) {
  answer.stream = fields.boolean("stream").value_or(false);
  const json::value* value = fields.find("stream_options");
  if (!value) return;
  if (!answer.stream) fields.reject("stream_options", "is only allowed with \"stream\": true");
  const RequestFields options(*value, fields.path("stream_options"));
  answer.include_usage = options.boolean("include_usage").value_or(false);
  answer.continuous_usage =
      answer.include_usage && options.boolean("continuous_usage_stats").value_or(false);
}

/// "timeout" is no field of OpenAI's protocol or vLLM's; they leave it to the client to hang up.
std::optional<engine::RequestTimes::Clock::time_point> read_deadline(const RequestFields& fields,
                                                                     const ModelLimits& limits) {
  constexpr double kLongest = 86400;
  std::optional<double> seconds = fields.number("timeout", 0, kLongest);
  if (seconds && *seconds == 0) fields.wrong("timeout", "a number of seconds above 0");
  if (limits.request_timeout > 0)
    seconds = std::min(seconds.value_or(limits.request_timeout), limits.request_timeout);
  if (!seconds) return std::nullopt;
  using Clock = engine::RequestTimes::Clock;
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
}

/// Every token stands for at most this many bytes of the prompt. Normalization may compose what it
/// was given into something shorter, by no more than this factor.
std::size_t longest_token(const text::Tokenizer& tokenizer) {
  constexpr std::size_t kNormalizationFactor = 4;
  std::size_t longest = 1;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
    longest = std::max(longest, tokenizer.token_bytes(id).size());
  return longest * kNormalizationFactor;
}

}  // namespace

ModelLimits limits_of(const ServedModel& model) {
  const engine::EngineInfo& info = model.engine->info();
  ModelLimits limits;
  limits.names = model.aliases;
  limits.names.insert(limits.names.begin(), model.name);
  limits.vocab_size = info.vocab_size;
  limits.context_tokens = std::min(info.max_model_len, info.num_kv_blocks * info.block_size);
  limits.max_prompt_bytes = std::size_t(limits.context_tokens) * longest_token(*model.tokenizer);
  limits.default_sampling = model.default_sampling;
  return limits;
}

std::string read_model(const RequestFields& fields, const ModelLimits& limits) {
  const std::string model = fields.string("model").value_or(limits.names.front());
  check_model(model, limits);
  return model;
}

void check_model(std::string_view name, const ModelLimits& limits) {
  if (std::find(limits.names.begin(), limits.names.end(), name) != limits.names.end()) return;
  throw ApiError(404,
                 fmt::format("model: '{}' is not served here; use '{}'", name.substr(0, 200),
                             fmt::join(limits.names, "' or '")),
                 "model", "model_not_found");
}

AnswerFields read_answer_fields(const RequestFields& fields, const ModelLimits& limits) {
  for (const std::string_view name : kUnsupported)
    fields.refuse(name, "is not supported by this server; leave it out");
  AnswerFields answer;
  answer.model = read_model(fields, limits);
  answer.options.sampling = limits.default_sampling;
  read_sampling(fields, limits, answer.options.sampling);
  read_stopping(fields, limits, answer.options);
  read_stream_options(fields, answer);
  answer.form = read_output_form(fields);
  answer.options.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  answer.max_tokens = fields.integer("max_tokens", 0, kMaxInt32);
  answer.choices = std::int32_t(fields.integer("n", 1, kMaxChoices).value_or(1));
  answer.candidates = answer.choices;
  answer.names_service_tier = fields.has("service_tier");
  answer.priority = fields
                        .integer("priority", std::numeric_limits<std::int64_t>::min(),
                                 std::numeric_limits<std::int64_t>::max())
                        .value_or(0);
  answer.deadline = read_deadline(fields, limits);
  answer.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  answer.tokens_as_token_ids = fields.boolean("return_tokens_as_token_ids").value_or(false);
  answer.options.sampling.prompt_logprobs = fields.integer("prompt_logprobs", 0, kMaxLogprobs);
  if (answer.options.sampling.prompt_logprobs && answer.stream)
    fields.reject("prompt_logprobs", "is not available with \"stream\": true");
  return answer;
}

void settle_max_tokens(AnswerFields& answer, std::string_view field,
                       std::optional<std::int64_t> fallback, std::int64_t prompt_tokens,
                       const ModelLimits& limits) {
  const std::int64_t room = limits.context_tokens - prompt_tokens;
  std::optional<std::int64_t> asked = answer.max_tokens;
  if (asked && answer.max_tokens_is_bound) asked = std::clamp<std::int64_t>(room, 1, *asked);
  if (asked ? *asked > room : room < 1)
    throw ApiError(
        400,
        fmt::format("This model's maximum context length is {} tokens; the prompt has {} "
                    "and {} = {}. Shorten the prompt or ask for fewer tokens.",
                    limits.context_tokens, prompt_tokens, field,
                    asked ? std::to_string(*asked) : "at least 1"),
        room < 1 ? "prompt" : std::string(field), "context_length_exceeded");
  engine::SamplingParams& sampling = answer.options.sampling;
  sampling.max_tokens = asked ? *asked : fallback ? std::min(*fallback, room) : room;
  if (sampling.min_tokens > sampling.max_tokens)
    throw ApiError(400,
                   fmt::format("min_tokens: must be at most {} (= {}), not {}", field,
                               sampling.max_tokens, sampling.min_tokens),
                   "min_tokens");
}

}  // namespace isotope::server
