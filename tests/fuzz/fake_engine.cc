// The engine's door with nothing behind it: every answer is there at once, and its tokens are those
// of the prompt again. For fuzzing what stands in front of the door.
#include <algorithm>
#include <vector>

#include "base/error.h"
#include "engine/answer.h"
#include "engine/engine.h"

namespace isotope::engine {

class Engine::Impl {
 public:
  explicit Impl(const EngineOptions& options) {
    info.family = info.device = "fake";
    info.vocab_size = vocab_limit = 512;
    info.max_model_len = options.max_model_len > 0 ? options.max_model_len : 2048;
    info.block_size = options.block_size;
    info.num_kv_blocks = 1024;
    info.max_num_seqs = options.max_num_seqs;
    info.eos_ids = {2};
  }

  EngineInfo info;
  std::int64_t vocab_limit;
  std::uint64_t submitted = 0;
};

namespace {

constexpr std::int64_t kMostTokens = 8;

/// A token that the constraint allows, by preference `wish`; -1 if there is none.
TokenId allowed_token(TokenConstraint& constraint, TokenId wish, std::int64_t vocab,
                      std::int64_t left) {
  std::vector<std::uint32_t> mask(std::size_t(vocab + 31) / 32);
  constraint.fill_mask(mask, left);
  for (std::int64_t i = 0; i < vocab; ++i) {
    const auto id = std::size_t((wish + i) % vocab);
    if (mask[id / 32] >> (id % 32) & 1) return TokenId(id);
  }
  return -1;
}

TokenLogprobs logprobs_of(TokenId id, std::int32_t count, std::int64_t vocab) {
  TokenLogprobs logprobs{.logprob = -1, .rank = 1, .top = {}};
  for (std::int32_t i = 0; i < count; ++i)
    logprobs.top.emplace_back(TokenId((id + i) % vocab), -1.0f - float(i));
  return logprobs;
}

}  // namespace

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Engine::~Engine() = default;

const EngineInfo& Engine::info() const { return impl_->info; }
void Engine::limit_vocab(std::int64_t limit) { impl_->vocab_limit = limit; }
void Engine::cancel(std::uint64_t) {}
EngineStats Engine::stats() const { return {}; }
bool Engine::drain(std::chrono::milliseconds) { return true; }

Engine::Ticket Engine::submit(Request request) {
  const std::int64_t vocab = impl_->vocab_limit;
  validate(request.params, vocab);
  if (request.prompt.empty()) fail(ErrorCode::invalid_argument, "the prompt is empty");
  Progress progress;
  progress.finished = FinishReason::length;
  const std::int64_t most = std::min(request.params.max_tokens, kMostTokens);
  for (std::int64_t i = 0; i < most; ++i) {
    TokenId id = request.prompt[std::size_t(i) % request.prompt.size()];
    if (request.constraint) id = allowed_token(*request.constraint, id, vocab, most - i);
    if (id < 0 || (request.constraint && !request.constraint->accept(id))) {
      progress.finished = FinishReason::error;
      break;
    }
    progress.tokens.push_back({id, {}});
    if (const auto count = request.params.logprobs)
      progress.tokens.back().logprobs = logprobs_of(id, *count, vocab);
    if (request.constraint && request.constraint->finished()) {
      progress.finished = FinishReason::stop;
      break;
    }
  }
  if (const auto count = request.params.prompt_logprobs) {
    progress.prompt_logprobs.emplace_back();
    for (std::size_t i = 1; i < request.prompt.size(); ++i)
      progress.prompt_logprobs.push_back(logprobs_of(request.prompt[i], *count, vocab));
  }
  AnswerWriter writer;
  writer.write(std::move(progress));
  return {++impl_->submitted, writer.answer()};
}

}  // namespace isotope::engine
