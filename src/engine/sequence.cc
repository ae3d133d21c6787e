#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace isotope::engine {

Sequence::Sequence(std::uint64_t number, Request request, SequenceSetup setup)
    : order_{request.priority, setup.turn, number},
      choice_(request.choice),
      params_(std::move(request.params)),
      constraint_(std::move(request.constraint)),
      seed_(params_.seed.value_or(setup.seed)),
      block_size_(setup.block_size),
      max_model_len_(setup.max_model_len),
      stop_ids_(std::move(setup.stop_ids)),
      tokens_(std::move(request.prompt)),
      num_prompt_(std::int64_t(tokens_.size())) {
  if (params_.prompt_logprobs) prompt_logprobs_.emplace_back();
  check();
}

void Sequence::check() const {
  ISOTOPE_ASSERT(num_prompt_ >= 1 && num_prompt_ <= num_tokens());
  ISOTOPE_ASSERT(num_computed_ >= 0 && num_computed_ <= num_tokens());
  ISOTOPE_ASSERT(num_computed_ <= capacity());
}

std::int64_t Sequence::num_remaining_in_phase() const {
  return (phase() == Phase::prefill ? num_prompt_ : num_tokens()) - num_computed_;
}

std::span<const kv::BlockHash> Sequence::block_hashes() {
  for (std::int64_t i = std::int64_t(hashes_.size()); i < num_tokens() / block_size_; ++i) {
    const std::int64_t begin = i * block_size_;
    // Prompt tokens and generated tokens may run through different kernels. Counting the former
    // keeps blocks with the same tokens, but other bits, apart.
    const std::int64_t num_prompt_here =
        std::clamp<std::int64_t>(num_prompt_ - begin, 0, block_size_);
    hashes_.push_back(
        kv::hash_block(i == 0 ? kv::BlockHash{} : hashes_.back(),
                       std::span(tokens_).subspan(std::size_t(begin), std::size_t(block_size_)),
                       std::uint64_t(num_prompt_here)));
  }
  return hashes_;
}

void Sequence::place(std::vector<kv::BlockId> blocks, std::int64_t num_cached) {
  ISOTOPE_ASSERT(blocks_.empty() && num_computed_ == 0);
  // The logits of the last token are wanted, so it is always computed.
  ISOTOPE_ASSERT(num_cached < num_tokens() && num_cached % block_size_ == 0);
  blocks_ = std::move(blocks);
  num_computed_ = num_cached;
  check();
}

void Sequence::advance(std::int64_t count) {
  num_computed_ += count;
  check();
}

std::vector<kv::BlockId> Sequence::take_blocks() {
  num_computed_ = 0;
  return std::exchange(blocks_, {});
}

void Sequence::append(TokenId token) {
  ISOTOPE_ASSERT(num_remaining() == 0);
  tokens_.push_back(token);
}

std::int64_t Sequence::num_logits(std::int64_t begin, std::int64_t count) const {
  const std::int64_t first = std::max(begin, next_prompt_logprob_ - 1);
  const std::int64_t last = std::min(begin + count, prompt_logprobs_end() - 1);
  const std::int64_t samples = count > 0 && wants_sample(begin + count - 1) ? 1 : 0;
  return std::max<std::int64_t>(0, last - first) + samples;
}

void Sequence::add_prompt_logprob(TokenLogprobs logprobs) {
  prompt_logprobs_.push_back(std::move(logprobs));
  ++next_prompt_logprob_;
}

std::span<const TokenId> Sequence::banned() const {
  if (num_output() >= params_.min_tokens) return {};
  return stop_ids_;
}

std::optional<FinishReason> Sequence::finish_reason() const {
  // A token that was banned does not end the answer even if nothing else could be chosen.
  if (num_output() > params_.min_tokens &&
      std::find(stop_ids_.begin(), stop_ids_.end(), tokens_.back()) != stop_ids_.end())
    return FinishReason::stop;
  if (num_output() >= params_.max_tokens || num_tokens() >= max_model_len_)
    return FinishReason::length;
  return std::nullopt;
}

}  // namespace isotope::engine
