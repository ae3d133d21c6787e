#include "cli/random_requests.h"

#include <utility>

#include "base/error.h"

namespace isotope::cli {

engine::Engine::Ticket submit_random(engine::Engine& engine, std::mt19937_64& random,
                                     std::int64_t input_len, std::int64_t output_len) {
  std::uniform_int_distribution<TokenId> token(0, TokenId(engine.info().vocab_size - 1));
  engine::Request request{.id = "random"};
  for (std::int64_t i = 0; i < input_len; ++i) request.prompt.push_back(token(random));
  request.params.temperature = 0;
  request.params.ignore_eos = true;
  request.params.max_tokens = output_len;
  return engine.submit(std::move(request));
}

engine::RequestTimes wait_for_end(const engine::Engine::Ticket& ticket,
                                  const std::function<void(const engine::Progress&)>& on_progress) {
  for (;;) {
    const engine::Progress progress = ticket.answer->wait();
    if (on_progress) on_progress(progress);
    if (progress.finished == engine::FinishReason::error)
      fail(ErrorCode::internal, "a request failed: {}", progress.error);
    if (progress.finished) return progress.times;
  }
}

}  // namespace isotope::cli
