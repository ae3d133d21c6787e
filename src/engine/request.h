// What the engine is asked for and what it answers. Token ids only: text is not known here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "engine/token_constraint.h"

namespace isotope::engine {

/// As vLLM's SamplingParams where names agree.
struct SamplingParams {
  float temperature = 1.0f;  ///< 0: greedy
  float top_p = 1.0f;
  std::int32_t top_k = 0;  ///< 0 or -1: all
  float min_p = 0.0f;
  float repetition_penalty = 1.0f, presence_penalty = 0.0f, frequency_penalty = 0.0f;
  std::optional<std::uint64_t> seed;
  std::int64_t max_tokens = 16;  ///< new tokens; ≥ 0. 0 only computes the prompt (and its logprobs)
  /// End-of-sequence and stop tokens are banned before this many, unless the constraint leaves
  /// nothing else.
  std::int64_t min_tokens = 0;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::optional<std::int32_t> logprobs;  ///< 0…20 alternatives for every new token
  std::optional<std::int32_t>
      prompt_logprobs;  ///< 0…20 alternatives for every prompt token but the first
};

/// Errors: invalid_argument naming the field, the value and the range.
void validate(const SamplingParams& params, std::int64_t vocab_size);

struct Request {
  std::string id;  ///< for logs
  std::vector<TokenId> prompt;
  SamplingParams params;
  /// Lower values come first, with SchedulingPolicy::priority; otherwise it must be 0.
  std::int64_t priority = 0;
  /// Which of one client's request this is: choice i lets as many later requests pass as if it had
  /// come i requests later, so that many choices of one do not hold up the first of others.
  std::int64_t choice = 0;
  /// The answer ends here if it has not ended before, as FinishReason::timed_out.
  std::optional<std::chrono::steady_clock::time_point> deadline = {};
  /// What the answer must look like; nullptr: anything. Belongs to this request alone.
  std::shared_ptr<TokenConstraint> constraint = {};
};

enum class FinishReason {
  stop,      ///< an end-of-sequence or stop token (the last token of the answer)
  complete,  ///< the constraint: nothing can follow
  length,    ///< max_tokens or the model's length
  cancelled,
  timed_out,  ///< the request's deadline has passed
  error,      ///< the engine could not go on; `error` says why
};

struct TokenLogprobs {
  float logprob = 0;
  std::int32_t rank = 0;
  std::vector<std::pair<TokenId, float>> top;  ///< most likely first
};

struct TokenOutput {
  TokenId id = -1;
  std::optional<TokenLogprobs> logprobs;
};

/// Times on the steady clock; zero until they happened.
struct RequestTimes {
  using Clock = std::chrono::steady_clock;
  Clock::time_point submitted, first_scheduled, first_token, last_token;
};

struct Progress {
  std::vector<TokenOutput> tokens;  ///< new since the last take()
  std::optional<FinishReason> finished;
  std::string error;
  /// Complete once the first token (or the end) has come: entry i belongs to prompt token i, the
  /// first is empty.
  std::vector<TokenLogprobs> prompt_logprobs;
  std::int64_t num_cached_prompt_tokens = 0;  ///< found in the prefix cache
  RequestTimes times;
};

/// The queue between the engine thread and one consumer. Created by Engine::submit.
class Answer {
 public:
  /// Everything that has come since the last call. After `finished` was seen, nothing follows.
  Progress take();
  /// As take(), after waiting until there is something to take.
  Progress wait();
  /// `callback` is called from the engine thread whenever something was added, and at once if
  /// something is there. It must not block. nullptr removes it; when this returns, no earlier
  /// callback is running.
  void on_ready(std::function<void()> callback);

 private:
  friend class AnswerWriter;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace isotope::engine
