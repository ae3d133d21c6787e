#include "server/generation_exchange.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <iterator>
#include <utility>

namespace isotope::server {
namespace {

/// Beyond this, waiting would take longer than any client does.
constexpr std::int64_t kMaxWaiting = 4096;

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
}

}  // namespace

GenerationExchange::GenerationExchange(ServedModel& model, const AnswerFields& fields,
                                       std::string id)
    : model_(model), fields_(fields), id_(std::move(id)) {}

void GenerationExchange::add_prompt(std::vector<TokenId> tokens) {
  if (model_.engine->stats().waiting + fields_.candidates > kMaxWaiting)
    throw ApiError(429, "too many requests are waiting; try again later")
        .with_header("Retry-After", "1");
  for (std::int32_t i = 0; i < fields_.candidates; ++i) {
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

std::string GenerationExchange::summary() const {
  const Usage spent = usage();
  return fmt::format("{} + {} tokens ({} cached), TTFT {:.1f} ms, TPOT {:.2f} ms",
                     spent.prompt_tokens, spent.completion_tokens, spent.cached_tokens,
                     spent.ttft_ms, spent.tpot_ms);
}

}  // namespace isotope::server
