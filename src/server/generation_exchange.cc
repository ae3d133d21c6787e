#include "server/generation_exchange.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <iterator>

#include "server/api_error.h"

namespace isotope::server {
namespace {

/// Beyond this, waiting would take longer than any client does.
constexpr std::int64_t kMaxWaiting = 4096;

void append(Piece& whole, Piece piece) {
  whole.text += piece.text;
  std::move(piece.tokens.begin(), piece.tokens.end(), std::back_inserter(whole.tokens));
  whole.text_offsets.insert(whole.text_offsets.end(), piece.text_offsets.begin(),
                            piece.text_offsets.end());
}

/// Throws if the engine gave the answer up.
void check_end(const Generation& generation) {
  if (!generation.finished()) return;
  if (generation.finish_reason() == engine::FinishReason::error)
    throw ApiError(500, fmt::format("the engine failed: {}", generation.error()));
  if (generation.finish_reason() == engine::FinishReason::cancelled)
    throw ApiError(503, "the request was cancelled because the server is shutting down");
}

}  // namespace

GenerationExchange::GenerationExchange(ServedModel& model, const AnswerFields& fields,
                                       std::string id)
    : model_(model),
      fields_(fields),
      logprobs_(*model.tokenizer, fields.tokens_as_token_ids),
      id_(std::move(id)),
      created_(unix_time()) {}

void GenerationExchange::add_prompt(std::vector<TokenId> tokens) {
  if (model_.engine->stats().waiting + fields_.choices > kMaxWaiting)
    throw ApiError(429, "too many requests are waiting; try again later")
        .with_header("Retry-After", "1");
  for (std::int32_t i = 0; i < fields_.choices; ++i) {
    GenerationOptions options = fields_.options;
    // As in vLLM: the choices of a seeded request differ from each other, and are the same every
    // time.
    if (options.sampling.seed) *options.sampling.seed += std::uint64_t(i);
    Choice choice;
    choice.prompt = prompts_.size();
    choice.generation =
        std::make_unique<Generation>(model_, engine::Request{.id = id_, .prompt = tokens}, options);
    choices_.push_back(std::move(choice));
  }
  prompts_.push_back(std::move(tokens));
}

void GenerationExchange::on_ready(std::function<void()> wake) {
  for (Choice& choice : choices_) choice.generation->on_ready(wake);
}

void GenerationExchange::cancel() {
  for (Choice& choice : choices_) choice.generation->cancel();
}

std::optional<Response> GenerationExchange::response() {
  bool complete = true;
  for (Choice& choice : choices_) {
    append(choice.whole, choice.generation->take());
    check_end(*choice.generation);
    complete = complete && choice.generation->finished();
  }
  if (!complete) return std::nullopt;
  json::object body = whole();
  body["usage"] = usage().to_json();
  return Response{.body = json::serialize(body)};
}

StreamPart GenerationExchange::next() {
  StreamPart part;
  try {
    for (std::size_t i = 0; i < choices_.size(); ++i)
      if (!choices_[i].ended) stream_choice(choices_[i], std::int64_t(i), part.bytes);
  } catch (...) {
    part.bytes += "data: " + error_body(to_api_error(std::current_exception())) + "\n\n";
    part.last = true;
  }
  const auto ended = [](const Choice& choice) { return choice.ended; };
  if (!part.last && std::all_of(choices_.begin(), choices_.end(), ended)) {
    part.last = true;
    if (fields_.include_usage) {
      json::object event = frame(chunk_object());
      event["choices"] = json::array();
      event["usage"] = usage().to_json();
      append_event(event, part.bytes);
    }
  }
  if (part.last) part.bytes += "data: [DONE]\n\n";
  return part;
}

void GenerationExchange::stream_choice(Choice& choice, std::int64_t index, std::string& out) {
  Piece piece = choice.generation->take();
  check_end(*choice.generation);
  choice.ended = choice.generation->finished();
  const bool begins = !choice.begun && !piece.tokens.empty();
  const bool shows = !piece.text.empty() || (wants_tokens() && !piece.tokens.empty());
  if (!begins && !shows && !choice.ended) return;
  json::object event = frame(chunk_object());
  event["choices"] = json::array{chunk(choice, index, std::move(piece))};
  if (fields_.include_usage) event["usage"] = nullptr;
  choice.begun = true;
  append_event(event, out);
}

void GenerationExchange::append_event(const json::object& object, std::string& out) const {
  out += "data: ";
  out += json::serialize(object);
  out += "\n\n";
}

json::object GenerationExchange::frame(std::string_view object) const {
  json::object result;
  result["id"] = id_;
  result["object"] = object;
  result["created"] = created_;
  result["model"] = fields_.model;
  return result;
}

void GenerationExchange::put_finish(const Generation& generation, json::object& out) {
  out["finish_reason"] = nullptr;
  out["stop_reason"] = nullptr;
  if (!generation.finished()) return;
  const bool stopped = generation.finish_reason() == engine::FinishReason::stop;
  out["finish_reason"] = stopped ? "stop" : "length";
  if (const std::string* stop = generation.matched_stop()) {
    out["stop_reason"] = *stop;
  } else if (const auto id = generation.matched_stop_token()) {
    out["stop_reason"] = *id;
  }
}

json::array GenerationExchange::ids_of(const std::vector<engine::TokenOutput>& tokens) {
  json::array ids;
  ids.reserve(tokens.size());
  for (const engine::TokenOutput& token : tokens) ids.push_back(token.id);
  return ids;
}

Usage GenerationExchange::usage() const {
  Usage usage;
  double tpot_sum = 0;
  int tpot_count = 0;
  std::size_t prompts_counted = 0;
  for (const Choice& choice : choices_) {
    const Generation& generation = *choice.generation;
    usage.completion_tokens += generation.completion_tokens();
    if (choice.prompt == prompts_counted) {  // the first choice of its prompt
      usage.prompt_tokens += generation.prompt_tokens();
      usage.cached_tokens += generation.cached_tokens();
      ++prompts_counted;
    }
    const double ttft_ms = generation.ttft() * 1e3;
    if (ttft_ms > 0) usage.ttft_ms = usage.ttft_ms > 0 ? std::min(usage.ttft_ms, ttft_ms) : ttft_ms;
    if (generation.tpot() > 0) {
      tpot_sum += generation.tpot();
      ++tpot_count;
    }
  }
  if (tpot_count > 0) usage.tpot_ms = tpot_sum / tpot_count * 1e3;
  return usage;
}

std::string GenerationExchange::summary() const {
  const Usage spent = usage();
  return fmt::format("{} + {} tokens ({} cached), TTFT {:.1f} ms, TPOT {:.2f} ms",
                     spent.prompt_tokens, spent.completion_tokens, spent.cached_tokens,
                     spent.ttft_ms, spent.tpot_ms);
}

}  // namespace isotope::server
