#include "engine/scheduler.h"

#include <algorithm>
#include <set>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::engine {
namespace {

bool before(const Sequence* a, const Sequence* b) { return a->order() < b->order(); }

/// Continues an answer by one token (rule 1).
bool is_plain_decode(const Sequence& sequence) {
  return sequence.phase() == Phase::decode && sequence.num_remaining() == 1;
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.num_blocks, options.block_size, options.prefix_caching) {
  ISOTOPE_ASSERT(options.max_seqs > 0 && options.max_rows >= options.max_seqs &&
                 options.max_logits >= options.max_seqs);
}

void Scheduler::add(Sequence& sequence) { enqueue(sequence); }

void Scheduler::enqueue(Sequence& sequence) {
  waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), &sequence, before), &sequence);
  waiting_tokens_ += sequence.most_tokens();
}

std::deque<Sequence*>::iterator Scheduler::dequeue(std::deque<Sequence*>::iterator at) {
  waiting_tokens_ -= (*at)->most_tokens();
  return waiting_.erase(at);
}

void Scheduler::remove(Sequence& sequence) {
  if (const auto running = std::find(running_.begin(), running_.end(), &sequence);
      running != running_.end()) {
    running_.erase(running);
    release(sequence);
    return;
  }
  const auto waiting = std::find(waiting_.begin(), waiting_.end(), &sequence);
  ISOTOPE_ASSERT(waiting != waiting_.end());
  dequeue(waiting);
}

Step Scheduler::schedule() {
  Step step;
  Budget budget{options_.max_rows, options_.max_logits};
  make_place();
  const std::uint64_t preemptions = counters_.preemptions;
  schedule_decodes(step, budget);
  schedule_chunks(step, budget);
  if (counters_.preemptions == preemptions) admit(step, budget);
  std::stable_partition(step.chunks.begin(), step.chunks.end(),
                        [](const Chunk& chunk) { return chunk.phase == Phase::decode; });
  if (step.chunks.empty() && has_work())
    fail(ErrorCode::internal, "nothing to schedule with {} running and {} waiting sequences",
         num_running(), num_waiting());
  return step;
}

void Scheduler::make_place() {
  if (waiting_.empty()) return;
  // Whoever yields comes after it in the queue, too.
  Sequence& first = *waiting_.front();
  const auto finds_place = [&] {
    const Match match = match_prefix(first);
    return match.pending || (num_running() < options_.max_seqs && fits(first, match));
  };
  while (!running_.empty() && yields(*running_.back(), first) && !finds_place())
    preempt(*running_.back());
}

bool Scheduler::yields(const Sequence& running, const Sequence& waiting) const {
  if (running.order() < waiting.order()) return false;
  return running.order().priority > waiting.order().priority || running.choice() > waiting.choice();
}

void Scheduler::schedule_decodes(Step& step, Budget& budget) {
  // Preemption takes from the end, so it never removes what this loop has passed.
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (is_plain_decode(sequence) && reserve_last_token(sequence))
      add_chunk(step, budget, sequence);
  }
}

bool Scheduler::reserve_last_token(Sequence& sequence) {
  while (sequence.capacity() < sequence.num_tokens()) {
    if (const auto block = pool_.allocate()) {
      sequence.add_block(*block);
      continue;
    }
    Sequence& last = *running_.back();
    preempt(last);
    if (&last == &sequence) return false;
  }
  return true;
}

void Scheduler::schedule_chunks(Step& step, Budget& budget) {
  for (Sequence* sequence : running_)
    if (!is_plain_decode(*sequence)) add_chunk(step, budget, *sequence);
}

void Scheduler::add_chunk(Step& step, Budget& budget, Sequence& sequence) {
  const std::int64_t begin = sequence.num_computed();
  std::int64_t count = std::min(sequence.num_remaining_in_phase(), budget.rows);
  std::int64_t logits = sequence.num_logits(begin, count);
  while (logits > budget.logits) {  // a row fewer wants at most one fewer
    count -= logits - budget.logits;
    logits = sequence.num_logits(begin, count);
  }
  if (count == 0) return;
  const Phase phase = sequence.phase();
  step.chunks.push_back({&sequence, begin, count, phase});
  step.num_rows += count;
  step.num_logits += logits;
  if (phase == Phase::decode) step.num_decode_rows += count;
  budget.rows -= count;
  budget.logits -= logits;
}

void Scheduler::admit(Step& step, Budget& budget) {
  std::int64_t num_overtaken = 0;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    // Each overtaken sequence costs a walk along its prefix in every step, hence the limit.
    if (num_running() == options_.max_seqs || budget.rows == 0 ||
        num_overtaken == options_.max_seqs)
      return;
    Sequence& sequence = **it;
    const Match match = match_prefix(sequence);
    if (match.pending) {
      ++num_overtaken;
      ++it;
      continue;
    }
    if (!fits(sequence, match)) return;
    it = dequeue(it);
    place(sequence, match);
    add_chunk(step, budget, sequence);
  }
}

Scheduler::Match Scheduler::match_prefix(Sequence& sequence) const {
  Match match;
  if (!options_.prefix_caching || !sequence.may_use_prefix_cache()) return match;
  const auto hashes = sequence.block_hashes();
  const std::int64_t usable = (sequence.num_tokens() - 1) / options_.block_size;
  for (; match.num_blocks < usable; ++match.num_blocks) {
    const kv::BlockHash& hash = hashes[std::size_t(match.num_blocks)];
    const auto lookup = pool_.lookup(hash);
    if (lookup == kv::BlockPool::Lookup::absent) {
      match.pending = pending_.contains(hash);
      break;
    }
    match.num_unheld += lookup == kv::BlockPool::Lookup::cached;
  }
  return match;
}

bool Scheduler::fits(const Sequence& sequence, const Match& match) const {
  const std::int64_t total = ceil_div(sequence.num_tokens(), options_.block_size);
  const std::int64_t taken = total - match.num_blocks + match.num_unheld;
  return taken + num_running() <= pool_.available();
}

void Scheduler::place(Sequence& sequence, const Match& match) {
  const std::int64_t total = ceil_div(sequence.num_tokens(), options_.block_size);
  std::vector<kv::BlockId> blocks;
  // Cached blocks first: allocate() might evict them otherwise.
  for (std::int64_t i = 0; i < match.num_blocks; ++i)
    blocks.push_back(pool_.acquire(sequence.block_hashes()[std::size_t(i)]).value());
  while (std::int64_t(blocks.size()) < total) blocks.push_back(pool_.allocate().value());
  const std::int64_t num_cached = match.num_blocks * options_.block_size;
  sequence.place(std::move(blocks), num_cached);
  counters_.prompt_tokens_cached += std::uint64_t(std::min(num_cached, sequence.num_prompt()));
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &sequence, before), &sequence);
  announce(sequence);
}

void Scheduler::preempt(Sequence& sequence) {
  ISOTOPE_ASSERT(running_.back() == &sequence);
  running_.pop_back();
  release(sequence);
  enqueue(sequence);
  ++counters_.preemptions;
}

void Scheduler::release(Sequence& sequence) {
  if (options_.prefix_caching) {
    withdraw(sequence, sequence.num_computed() / options_.block_size, announced_.at(&sequence));
    announced_.erase(&sequence);
  }
  // The end of a prefix is of no use without its beginning, so the beginning is evicted last.
  const std::vector<kv::BlockId> blocks = sequence.take_blocks();
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) pool_.release(*it);
}

void Scheduler::announce(Sequence& sequence) {
  if (!options_.prefix_caching) return;
  const auto hashes = sequence.block_hashes();
  const std::int64_t begin = sequence.num_computed() / options_.block_size;
  for (std::size_t i = std::size_t(begin); i < hashes.size(); ++i) ++pending_[hashes[i]];
  announced_[&sequence] = std::int64_t(hashes.size());
}

void Scheduler::withdraw(Sequence& sequence, std::int64_t begin, std::int64_t end) {
  const auto hashes = sequence.block_hashes();
  for (std::int64_t i = begin; i < end; ++i) {
    const auto found = pending_.find(hashes[std::size_t(i)]);
    ISOTOPE_ASSERT(found != pending_.end());
    if (--found->second == 0) pending_.erase(found);
  }
}

void Scheduler::commit(const Step& step) {
  for (const Chunk& chunk : step.chunks) {
    Sequence& sequence = *chunk.sequence;
    const std::int64_t first = sequence.num_computed() / options_.block_size;
    sequence.advance(chunk.count);
    if (chunk.phase == Phase::prefill)
      counters_.prompt_tokens_computed += std::uint64_t(chunk.count);
    if (!options_.prefix_caching) continue;
    const std::int64_t end = sequence.num_computed() / options_.block_size;
    const auto hashes = sequence.block_hashes();
    for (std::int64_t i = first; i < end; ++i)
      pool_.publish(sequence.blocks()[std::size_t(i)], hashes[std::size_t(i)]);
    withdraw(sequence, first, std::min(end, announced_.at(&sequence)));
  }
}

void Scheduler::check_integrity() const {
  pool_.check_integrity();
  std::set<kv::BlockId> held;
  std::size_t num_references = 0;
  for (const Sequence* sequence : running_) {
    held.insert(sequence->blocks().begin(), sequence->blocks().end());
    num_references += sequence->blocks().size();
    if (sequence->num_remaining() == 0)
      fail(ErrorCode::internal, "running sequence {} has nothing to compute", sequence->number());
    if (!is_plain_decode(*sequence) && sequence->capacity() < sequence->num_tokens())
      fail(ErrorCode::internal, "sequence {} has {} tokens and blocks for {}", sequence->number(),
           sequence->num_tokens(), sequence->capacity());
  }
  for (const Sequence* sequence : waiting_)
    if (!sequence->blocks().empty())
      fail(ErrorCode::internal, "waiting sequence {} holds blocks", sequence->number());
  if (std::int64_t(held.size()) != pool_.held())
    fail(ErrorCode::internal, "sequences hold {} blocks, the pool counts {}", held.size(),
         pool_.held());
  if (!options_.prefix_caching && num_references != held.size())
    fail(ErrorCode::internal, "a block is shared without prefix caching");
  if (!std::is_sorted(running_.begin(), running_.end(), before) ||
      !std::is_sorted(waiting_.begin(), waiting_.end(), before))
    fail(ErrorCode::internal, "sequences are out of order");
  if (running_.empty() && !pending_.empty())
    fail(ErrorCode::internal, "{} blocks are announced by nobody", pending_.size());
}

}  // namespace isotope::engine
