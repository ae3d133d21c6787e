#include "server/generation.h"

#include <algorithm>
#include <utility>

#include "server/grammar_constraint.h"
#include "server/reasoning_limit.h"

namespace isotope::server {
namespace {

double seconds(engine::RequestTimes::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Generation::Generation(ServedModel& model, engine::Request request,
                       const GenerationOptions& options)
    : model_(&model),
      text_(*model.tokenizer, options, request.prompt),
      stop_token_ids_(options.sampling.stop_token_ids),
      ignore_eos_(options.sampling.ignore_eos),
      prompt_tokens_(std::int64_t(request.prompt.size())),
      max_tokens_(options.sampling.max_tokens) {
  request.params = options.sampling;
  if (options.grammar)
    request.constraint = constrain(
        options.grammar, model.engine->info().eos_ids,
        ignore_eos_ ? text::GrammarEnd::if_nothing_else_fits : text::GrammarEnd::if_complete);
  if (options.reasoning_budget && options.format &&
      options.format->reasoning != text::ReasoningSyntax::none)
    request.constraint = limit_reasoning(*model.tokenizer, *options.format,
                                         *options.reasoning_budget, std::move(request.constraint));
  ticket_ = model.engine->submit(std::move(request));
}

Generation::~Generation() {
  ticket_.answer->on_ready(nullptr);
  if (finished()) return;
  cancel();
  note_end(engine::FinishReason::cancelled);
}

Piece Generation::take() { return finished() ? Piece{} : consume(ticket_.answer->take()); }

Piece Generation::wait() { return finished() ? Piece{} : consume(ticket_.answer->wait()); }

void Generation::on_ready(std::function<void()> callback) {
  ticket_.answer->on_ready(std::move(callback));
}

void Generation::cancel() { model_->engine->cancel(ticket_.number); }

Piece Generation::consume(engine::Progress progress) {
  times_ = progress.times;
  cached_tokens_ = progress.num_cached_prompt_tokens;
  if (!progress.prompt_logprobs.empty()) prompt_logprobs_ = std::move(progress.prompt_logprobs);
  const bool first = received_tokens_ == 0 && !progress.tokens.empty();
  received_tokens_ += std::int64_t(progress.tokens.size());
  if (first) model_->stats->note_first_token(ttft());
  if (progress.finished == engine::FinishReason::stop && !progress.tokens.empty())
    note_stop_token(progress.tokens.back().id);
  Piece piece = text_.push(std::move(progress.tokens), progress.finished);
  finish_ = progress.finished;
  // That nothing could follow is as good as the model's own end.
  if (finish_ == engine::FinishReason::complete) finish_ = engine::FinishReason::stop;
  error_ = std::move(progress.error);
  if (text_.over()) {
    if (!finish_) cancel();
    finish_ = engine::FinishReason::stop;
    matched_stop_token_.reset();
  }
  if (finish_) note_end(*finish_);
  return piece;
}

void Generation::note_end(engine::FinishReason reason) const {
  model_->stats->note_end({.reason = reason,
                           .prompt_tokens = prompt_tokens_,
                           .generated_tokens = received_tokens_,
                           .max_tokens = max_tokens_,
                           .times = times_});
}

void Generation::note_stop_token(TokenId last) {
  const bool is_eos = !ignore_eos_ && contains(model_->engine->info().eos_ids, last);
  if (!is_eos && contains(stop_token_ids_, last)) matched_stop_token_ = last;
}

bool Generation::called_tools() const {
  return finish_ == engine::FinishReason::stop && text_.parsed() &&
         text_.parsed()->complete_calls();
}

std::int64_t Generation::reasoning_tokens() const {
  return text_.parsed() ? text_.parsed()->reasoning_tokens() : 0;
}

double Generation::ttft() const {
  return received_tokens_ > 0 ? seconds(times_.first_token - times_.submitted) : 0;
}

double Generation::tpot() const {
  if (received_tokens_ < 2) return 0;
  return seconds(times_.last_token - times_.first_token) / double(received_tokens_ - 1);
}

double Generation::queue_time() const {
  return times_.first_scheduled > times_.submitted
             ? seconds(times_.first_scheduled - times_.submitted)
             : 0;
}

}  // namespace isotope::server
