#include "server/generation_exchange.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <iterator>
#include <utility>

namespace isotope::server {
namespace {

/// As one delta what was one to begin with, in the order of the answer.
void join(text::AnswerDeltas& whole, text::AnswerDeltas deltas) {
  for (text::AnswerDelta& delta : deltas) {
    const bool continues = !whole.empty() && delta.kind != text::AnswerDelta::Kind::call &&
                           whole.back().kind == delta.kind && whole.back().call == delta.call;
    if (continues) {
      whole.back().text += delta.text;
    } else {
      whole.push_back(std::move(delta));
    }
  }
}

void append(Piece& whole, Piece piece) {
  whole.text += piece.text;
  join(whole.deltas, std::move(piece.deltas));
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
  if (generation.finish_reason() == engine::FinishReason::timed_out)
    // OpenAI's and Anthropic's clients would repeat it otherwise, to the same end.
    throw ApiError(504,
                   fmt::format("the request's time is over after {} tokens; ask for fewer, or "
                               "allow more time (timeout)",
                               generation.completion_tokens()),
                   "timeout", "timeout")
        .with_header("x-should-retry", "false");
}

}  // namespace

GenerationExchange::GenerationExchange(ServedModel& model, const AnswerFields& fields,
                                       std::string id)
    : model_(model), fields_(fields), id_(std::move(id)) {}

void GenerationExchange::add_prompt(std::vector<TokenId> tokens) {
  admit(std::int64_t(tokens.size()));
  for (std::int32_t i = 0; i < fields_.candidates; ++i) {
    GenerationOptions options = fields_.options;
    // As in vLLM: the choices of a seeded request differ from each other, and are the same every
    // time.
    if (options.sampling.seed) *options.sampling.seed += std::uint64_t(i);
    Choice choice;
    choice.prompt = prompts_.size();
    engine::Request request{.id = id_,
                            .prompt = tokens,
                            .priority = fields_.priority,
                            .choice = std::int64_t(choices_.size()),
                            .deadline = fields_.deadline};
    choice.generation = std::make_unique<Generation>(model_, std::move(request), options);
    choices_.push_back(std::move(choice));
  }
  prompts_.push_back(std::move(tokens));
  model_.stats->note_request(fields_.choices);
}

void GenerationExchange::admit(std::int64_t prompt_tokens) const {
  const std::int64_t each = prompt_tokens + fields_.options.sampling.max_tokens;
  try {
    check_queue(model_.queue, model_.engine->stats(), model_.engine->info().max_num_seqs,
                {.requests = fields_.candidates,
                 .tokens = fields_.candidates * each,
                 .own = std::int64_t(choices_.size())});
  } catch (const ApiError&) {
    model_.stats->note_refusal();
    throw;
  }
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
  return Response{.body = json::serialize(whole())};
}

StreamPart GenerationExchange::next() {
  StreamPart part;
  if (!std::exchange(begun_, true)) write_begin(part.bytes);
  try {
    for (std::size_t i = 0; i < choices_.size(); ++i)
      if (!choices_[i].ended) stream_choice(choices_[i], std::int64_t(i), part.bytes);
  } catch (...) {
    write_error(to_api_error(std::current_exception()), part.bytes);
    part.last = true;
    return part;
  }
  part.last = std::all_of(choices_.begin(), choices_.end(),
                          [](const Choice& choice) { return choice.ended; });
  if (part.last) write_end(part.bytes);
  return part;
}

void GenerationExchange::stream_choice(Choice& choice, std::int64_t index, std::string& out) {
  Piece piece = choice.generation->take();
  check_end(*choice.generation);
  choice.ended = choice.generation->finished();
  const bool begins = !choice.begun && !piece.tokens.empty();
  const bool has_text = fields_.options.format ? !piece.deltas.empty() : !piece.text.empty();
  const bool shows = has_text || (wants_tokens() && !piece.tokens.empty());
  if (!begins && !shows && !choice.ended) return;
  write_piece(choice, index, std::move(piece), out);
  choice.begun = true;
}

Usage GenerationExchange::usage() const {
  Usage usage;
  double tpot_sum = 0;
  int tpot_count = 0;
  std::size_t prompts_counted = 0;
  for (const Choice& choice : choices_) {
    const Generation& generation = *choice.generation;
    usage.completion_tokens += generation.completion_tokens();
    usage.reasoning_tokens += generation.reasoning_tokens();
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

json::object GenerationExchange::log_fields() const {
  const Usage spent = usage();
  double queue_ms = 0;
  std::string reasons;
  for (const Choice& choice : choices_) {
    queue_ms = std::max(queue_ms, choice.generation->queue_time() * 1e3);
    const std::string_view reason =
        choice.generation->finished() ? end_name(choice.generation->finish_reason()) : "abort";
    if (reasons.find(reason) == std::string::npos)
      reasons += fmt::format("{}{}", reasons.empty() ? "" : ",", reason);
  }
  return {{"prompt_tokens", spent.prompt_tokens},
          {"cached_tokens", spent.cached_tokens},
          {"completion_tokens", spent.completion_tokens},
          {"choices", choices_.size()},
          {"queue_ms", queue_ms},
          {"ttft_ms", spent.ttft_ms},
          {"tpot_ms", spent.tpot_ms},
          {"finish_reason", reasons}};
}

}  // namespace isotope::server
