#include "engine/answer.h"

#include <condition_variable>
#include <exception>
#include <iterator>

#include "base/log.h"

namespace isotope::engine {

struct Answer::State {
  std::mutex mutex;  // guards pending and ready
  std::condition_variable changed;
  Progress pending;
  bool ready = false;  // something to take; stays true after the end, so that nobody waits for ever

  // Held while a callback runs, so that removing one waits for it. Recursive, because a callback
  // may replace itself. Never taken while `mutex` is held.
  std::recursive_mutex callback_mutex;
  std::shared_ptr<const std::function<void()>> callback;

  void call() {
    const std::lock_guard lock(callback_mutex);
    const auto current = callback;  // alive until it returns, even if it replaces itself
    if (!current) return;
    try {
      (*current)();
    } catch (const std::exception& error) {
      log_error("engine", "a consumer's callback threw: {}", error.what());
    }
  }

  Progress take(std::unique_lock<std::mutex>) {
    Progress taken = pending;
    pending.tokens.clear();
    pending.prompt_logprobs.clear();
    ready = pending.finished.has_value();
    return taken;
  }
};

Progress Answer::take() { return state_->take(std::unique_lock(state_->mutex)); }

Progress Answer::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->ready; });
  return state_->take(std::move(lock));
}

void Answer::on_ready(std::function<void()> callback) {
  const std::lock_guard lock(state_->callback_mutex);
  state_->callback =
      callback ? std::make_shared<const std::function<void()>>(std::move(callback)) : nullptr;
  bool ready;
  {
    const std::lock_guard state_lock(state_->mutex);
    ready = state_->ready;
  }
  if (ready) state_->call();
}

AnswerWriter::AnswerWriter() : state_(std::make_shared<Answer::State>()) {}

std::shared_ptr<Answer> AnswerWriter::answer() const {
  auto answer = std::make_shared<Answer>();
  answer->state_ = state_;
  return answer;
}

void AnswerWriter::write(Progress delta) {
  {
    const std::lock_guard lock(state_->mutex);
    Progress& pending = state_->pending;
    std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(pending.tokens));
    std::move(delta.prompt_logprobs.begin(), delta.prompt_logprobs.end(),
              std::back_inserter(pending.prompt_logprobs));
    pending.finished = delta.finished;
    pending.error = std::move(delta.error);
    pending.num_cached_prompt_tokens = delta.num_cached_prompt_tokens;
    pending.times = delta.times;
    state_->ready = true;
  }
  state_->changed.notify_all();
  state_->call();
}

}  // namespace isotope::engine
