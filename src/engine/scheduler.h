// Decides what the next step computes. Pure bookkeeping: no device, no model, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "engine/sequence.h"
#include "kv/block_pool.h"

namespace isotope::engine {

struct SchedulerOptions {
  std::int64_t max_rows = 0;    ///< tokens in one step; at least max_seqs
  std::int64_t max_seqs = 0;    ///< sequences that run at a time
  std::int64_t max_logits = 0;  ///< rows with logits in one step; at least max_seqs
  std::int64_t num_blocks = 0, block_size = 16;
  bool prefix_caching = true;
};

/// Consecutive tokens of one sequence and one phase: positions [begin, begin + count).
struct Chunk {
  Sequence* sequence = nullptr;
  std::int64_t begin = 0, count = 0;
  Phase phase = Phase::prefill;
};

/// Chunks of different sequences, those in decode phase first.
struct Step {
  std::vector<Chunk> chunks;
  std::int64_t num_rows = 0, num_decode_rows = 0, num_logits = 0;
};

struct SchedulerCounters {
  std::uint64_t prompt_tokens_computed = 0, prompt_tokens_cached = 0, preemptions = 0;
};

/// Rules, in the order in which a step is filled:
///  1. Every running sequence whose only remaining token is its last generated one gets a row. If
///     no block is left for it, the last running sequence is preempted: its blocks are released,
///     it goes back to its place in the queue, and is computed again from prompt and output.
///  2. Other running sequences get chunks of what remains, in order.
///  3. Waiting ones are admitted in order, so preempted ones come early, while blocks for all their
///     known tokens are available, and one more for each running sequence, so that the newcomer is
///     not preempted at once. Blocks found by hash in the prefix cache count as computed; at least
///     the last known token is not taken from there. No admission in a step that preempted.
///  4. A prefix is computed once: a sequence whose next block is not cached, but is one that a
///     running sequence is about to compute, waits for it. Later ones may overtake it meanwhile.
///     The running one advances in every step or leaves, so the wait ends.
///  5. If the first waiting sequence finds no place, running ones after it in order are preempted
///     for it, from the last: those of lower priority, and further choices of a request than it is
///     of its own. So a request with many choices keeps no other from beginning.
/// "In order" is Order: by priority, then by turn of arrival. A sequence that fits alone (submit
/// checks it) ends unless more important ones keep coming: the first is never preempted.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  /// Queues a sequence. It must stay alive until remove().
  void add(Sequence& sequence);
  /// Forgets a sequence, whatever its state, and releases its blocks.
  void remove(Sequence& sequence);

  /// The next step; empty only if there is no work.
  Step schedule();
  /// The step has been computed: its tokens are in the cache, and full blocks become findable.
  void commit(const Step& step);

  bool has_work() const { return !running_.empty() || !waiting_.empty(); }
  std::int64_t num_running() const { return std::int64_t(running_.size()); }
  std::int64_t num_waiting() const { return std::int64_t(waiting_.size()); }
  /// The sum of most_tokens() over those that wait.
  std::int64_t waiting_tokens() const { return waiting_tokens_; }
  const kv::BlockPool& pool() const { return pool_; }
  const SchedulerCounters& counters() const { return counters_; }

  /// Between steps: every link between sequences, blocks and the pool; an internal Error says what
  /// is broken.
  void check_integrity() const;

 private:
  struct Budget {
    std::int64_t rows, logits;
  };
  /// What the prefix cache has for a waiting sequence.
  struct Match {
    std::int64_t num_blocks = 0;
    std::int64_t num_unheld = 0;  // of these, blocks that are available until they are acquired
    bool pending = false;         // the block after them is about to be computed
  };

  void enqueue(Sequence& sequence);
  std::deque<Sequence*>::iterator dequeue(std::deque<Sequence*>::iterator at);
  void make_place();
  bool yields(const Sequence& running, const Sequence& waiting) const;
  void schedule_decodes(Step& step, Budget& budget);
  void schedule_chunks(Step& step, Budget& budget);
  void admit(Step& step, Budget& budget);
  void add_chunk(Step& step, Budget& budget, Sequence& sequence);
  bool reserve_last_token(Sequence& sequence);
  void preempt(Sequence& sequence);
  Match match_prefix(Sequence& sequence) const;
  bool fits(const Sequence& sequence, const Match& match) const;
  void place(Sequence& sequence, const Match& match);
  void release(Sequence& sequence);
  void announce(Sequence& sequence);
  void withdraw(Sequence& sequence, std::int64_t begin, std::int64_t end);

  SchedulerOptions options_;
  kv::BlockPool pool_;
  std::vector<Sequence*> running_;  // in order
  std::deque<Sequence*> waiting_;   // in order
  std::int64_t waiting_tokens_ = 0;
  // Rule 4: blocks that running sequences are about to compute, with how many do so; and up to
  // which block each running sequence has announced.
  std::unordered_map<kv::BlockHash, std::int32_t, kv::HashOfBlockHash> pending_;
  std::unordered_map<const Sequence*, std::int64_t> announced_;
  SchedulerCounters counters_;
};

}  // namespace isotope::engine
