// One request on its way: its tokens, how far they are computed, and the blocks that hold them.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "kv/block_pool.h"

namespace isotope::engine {

/// A token's phase is its own property: prompt tokens are prefill, generated tokens are decode,
/// also when they are recomputed after a preemption. So the same kernels make the same bits.
enum class Phase { prefill, decode };

/// What the engine decides about a request before it becomes a sequence.
struct SequenceSetup {
  std::int64_t block_size = 16;
  std::int64_t max_model_len = 0;
  std::vector<TokenId> stop_ids;  ///< end the answer: end-of-sequence and stop tokens
  std::uint64_t seed = 0;         ///< for requests without their own
  std::uint64_t turn = 0;         ///< as Order::turn
};

/// Who comes first, when not all can: lower ones. Fixed at submission, so that of two sequences it
/// is always the same one that yields.
struct Order {
  std::int64_t priority = 0;
  std::uint64_t turn = 0;  ///< of arrival; choices of one request take turns with later requests
  std::uint64_t number = 0;

  friend auto operator<=>(const Order&, const Order&) = default;
};

/// Invariant: 0 ≤ num_computed ≤ num_tokens, 1 ≤ num_prompt ≤ num_tokens, and the blocks have room
/// for what is computed.
class Sequence {
 public:
  Sequence(std::uint64_t number, Request request, SequenceSetup setup);

  /// Requests are numbered as they arrive; a lower number is older.
  std::uint64_t number() const { return order_.number; }
  const Order& order() const { return order_; }
  /// As Request::choice.
  std::int64_t choice() const { return choice_; }
  const SamplingParams& params() const { return params_; }
  std::uint64_t seed() const { return seed_; }
  const std::vector<TokenId>& stop_ids() const { return stop_ids_; }

  const std::vector<TokenId>& tokens() const { return tokens_; }  ///< prompt, then output
  std::int64_t num_prompt() const { return num_prompt_; }
  std::int64_t num_tokens() const { return std::int64_t(tokens_.size()); }
  std::int64_t num_output() const { return num_tokens() - num_prompt_; }
  /// Prompt and answer at its longest.
  std::int64_t most_tokens() const { return num_prompt_ + params_.max_tokens; }
  /// Tokens whose keys and values are in the cache; they are the first ones.
  std::int64_t num_computed() const { return num_computed_; }
  std::int64_t num_remaining() const { return num_tokens() - num_computed_; }
  /// Of the next token to compute.
  Phase phase() const { return num_computed_ < num_prompt_ ? Phase::prefill : Phase::decode; }
  /// Remaining tokens that have the phase of the next one.
  std::int64_t num_remaining_in_phase() const;

  /// Block i holds positions [i · block_size, (i + 1) · block_size).
  const std::vector<kv::BlockId>& blocks() const { return blocks_; }
  std::int64_t capacity() const { return std::int64_t(blocks_.size()) * block_size_; }
  /// Hashes of all blocks that the known tokens fill.
  std::span<const kv::BlockHash> block_hashes();

  /// The blocks of a sequence that starts (again), of which the first tokens are computed already.
  void place(std::vector<kv::BlockId> blocks, std::int64_t num_cached);
  void add_block(kv::BlockId block) { blocks_.push_back(block); }
  /// The next `count` tokens have been computed.
  void advance(std::int64_t count);
  /// Gives up the blocks, and with them everything computed. Tokens and their number stay, and they
  /// are the whole state of sampling.
  std::vector<kv::BlockId> take_blocks();
  /// A new token of the answer.
  void append(TokenId token);

  /// Whether the logits after position p are wanted: for the next token of the answer, or for the
  /// logprobs of prompt token p + 1 (each once, also if the prompt is computed twice).
  bool wants_sample(std::int64_t p) const {
    return p + 1 == num_tokens() && params_.max_tokens > 0;
  }
  bool wants_prompt_logprob(std::int64_t p) const {
    return p + 1 >= next_prompt_logprob_ && p + 1 < prompt_logprobs_end();
  }
  /// How many of `count` positions from `begin` want logits.
  std::int64_t num_logits(std::int64_t begin, std::int64_t count) const;

  void add_prompt_logprob(TokenLogprobs logprobs);
  std::vector<TokenLogprobs> take_prompt_logprobs() { return std::move(prompt_logprobs_); }
  /// Whether all prompt logprobs that were asked for are there.
  bool has_prompt_logprobs() const { return next_prompt_logprob_ >= prompt_logprobs_end(); }
  /// Logprobs of the prompt need all its logits, so they cannot start from cached blocks.
  bool may_use_prefix_cache() const { return has_prompt_logprobs(); }

  /// What the answer must look like, or nullptr.
  TokenConstraint* constraint() const { return constraint_.get(); }
  /// How many tokens the answer may still get.
  std::int64_t num_left() const {
    return std::min(params_.max_tokens - num_output(), max_model_len_ - num_tokens());
  }

  /// Tokens that must not come next, because they would end the answer too early; but a constraint
  /// that allows nothing else goes before this.
  std::span<const TokenId> banned() const;
  /// Why the answer ends here, if it does.
  std::optional<FinishReason> finish_reason() const;

 private:
  std::int64_t prompt_logprobs_end() const { return params_.prompt_logprobs ? num_prompt_ : 0; }
  void check() const;

  Order order_;
  std::int64_t choice_;
  SamplingParams params_;
  std::shared_ptr<TokenConstraint> constraint_;
  std::uint64_t seed_;
  std::int64_t block_size_, max_model_len_;
  std::vector<TokenId> stop_ids_;
  std::vector<TokenId> tokens_;
  std::int64_t num_prompt_, num_computed_ = 0;
  std::vector<kv::BlockId> blocks_;
  std::vector<kv::BlockHash> hashes_;
  std::vector<TokenLogprobs> prompt_logprobs_;
  std::int64_t next_prompt_logprob_ = 1;  // the first prompt token has none
};

}  // namespace isotope::engine
