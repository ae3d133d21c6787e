// The narrow door between those who have text and those who have tensors.
//
// One engine thread owns all mutable state: sequences, blocks, the batch under way. Callers submit
// token ids and read answers from a queue; they never see a tensor, a block or a slot, and nothing
// here knows text. Every member may be called from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "engine/request.h"

namespace isotope::ops {
class Profiler;
}
namespace isotope::models {
struct PartWork;
struct StepShape;
}  // namespace isotope::models

namespace isotope::engine {

enum class KvDtype { automatic, bf16, fp8 };
enum class WeightDtype { automatic, bf16, f32 };
enum class LoadFormat { automatic, dummy };
/// automatic: as the checkpoint has it; on GPUs with less than 24 GiB FP8, unless the embedding
/// table is the head.
enum class HeadDtype { automatic, bf16, fp8 };
/// automatic: on GPUs with at most 24 GiB. A table that is the head stays on the device.
enum class EmbeddingInHost { automatic, yes, no };
/// Who comes first: the earlier request, or the one with the lower Request::priority.
enum class SchedulingPolicy { fcfs, priority };

struct EngineOptions {
  std::filesystem::path model;  ///< a folder; for dummy weights a configuration file will do
  std::string device = "auto";
  int threads = 0;  ///< CPU threads; 0: all
  WeightDtype dtype = WeightDtype::automatic;
  KvDtype kv_dtype = KvDtype::automatic;  ///< automatic: bf16
  HeadDtype head_dtype = HeadDtype::automatic;
  EmbeddingInHost embedding_in_host = EmbeddingInHost::automatic;
  LoadFormat load_format = LoadFormat::automatic;
  std::int64_t max_model_len =
      0;  ///< 0: what the model was made for, or less if the cache is smaller
  std::int64_t max_num_seqs = 64;  ///< sequences in one step
  SchedulingPolicy scheduling_policy = SchedulingPolicy::fcfs;
  /// Rows in one step; by default 512 on a CPU, 2048 on a GPU, 1024 on one with at most 24 GiB.
  std::optional<std::int64_t> max_num_batched_tokens;
  std::int64_t block_size = 16;
  std::int64_t num_kv_blocks = 0;        ///< 0: from kv_memory
  std::size_t kv_memory = 0;             ///< bytes; 0: chosen from what is available
  double gpu_memory_utilization = 0.90;  ///< the part of a GPU's memory that may be taken
  std::size_t device_memory = 0;         ///< of a GPU, at most; 0: all that it has
  bool enforce_eager = false;            ///< GPUs: no captured graphs
  bool prefix_caching = true;
  bool batch_invariant = true;
  /// Where the time of steps goes, while it is enabled.
  std::shared_ptr<ops::Profiler> profiler;
  bool oracle = false;     ///< run every operation in its reference form
  std::uint64_t seed = 0;  ///< for requests without a seed
  /// loading: (done, total, what)
  std::function<void(std::int64_t, std::int64_t, std::string_view)> progress;
};

/// Where the time before the first request went.
struct StartTimes {
  double load_seconds = 0;     ///< weights, from file to device
  double kernels_seconds = 0;  ///< compiling or finding kernels; overlaps with loading
  double capture_seconds = 0;  ///< graphs, with the eager runs before them
  double total_seconds = 0;
  std::int64_t kernels = 0,
               kernels_compiled = 0;  ///< of these compiled, the others were in the cache
};

/// What was decided at start; constant afterwards.
struct EngineInfo {
  std::string family, device, kv_dtype;
  std::int64_t vocab_size = 0, max_model_len = 0, block_size = 0, num_kv_blocks = 0;
  std::int64_t max_num_seqs = 0, max_num_batched_tokens = 0;
  std::size_t weight_bytes = 0, kv_bytes = 0, workspace_bytes = 0;
  std::size_t host_weight_bytes = 0;      ///< weights in page-locked host memory
  std::size_t streamed_weight_bytes = 0;  ///< of the weights, what one step reads in full
  std::vector<TokenId> eos_ids;
  /// generation_config.json's temperature, top_p, top_k, min_p and repetition_penalty, for requests
  /// that are silent.
  SamplingParams default_sampling;
  std::vector<std::string> unused_tensors;
  std::int64_t skipped_tensors = 0;
  std::vector<std::int64_t> graph_sizes;  ///< batch sizes with a captured graph
  bool prefix_caching = true;
  StartTimes start;
};

/// The buckets of vLLM's histograms of the same things.
inline constexpr std::array kTokenGapSeconds{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                             0.3,  0.4,   0.5,  0.75,  1.0, 2.5,  5.0,
                                             7.5,  10.0,  20.0, 40.0,  80.0};
inline constexpr std::array kTokensOfStep{1.0,   8.0,   16.0,   32.0,   64.0,   128.0,  256.0,
                                          512.0, 1024., 2048.0, 4096.0, 8192.0, 16384.0};
/// Ours: from a small model's decode to a large prefill.
inline constexpr std::array kStepSeconds{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                         0.1,    0.2,   0.5,   1.0,   2.0,  5.0};

/// Counters since the start, and gauges of now.
struct EngineStats {
  std::uint64_t steps = 0, prompt_tokens_computed = 0, prompt_tokens_cached = 0,
                generated_tokens = 0, preemptions = 0;
  std::uint64_t requests_submitted = 0, requests_finished = 0, requests_cancelled = 0,
                requests_timed_out = 0;
  std::uint64_t graph_replays = 0;  ///< steps that were replayed from a captured graph
  std::int64_t running = 0, waiting = 0, kv_blocks_total = 0, kv_blocks_held = 0;
  /// What the waiting requests may come to need: prompt, output so far and the rest of max_tokens.
  std::int64_t waiting_tokens = 0;
  /// Ends of requests by the recent rate; 0 as long as there were none.
  double ends_per_second = 0;
  Histogram<kTokenGapSeconds> token_gaps;  ///< seconds from each token of an answer to the next
  Histogram<kTokensOfStep> step_tokens;    ///< tokens computed in a step
  Histogram<kStepSeconds> step_seconds;
};

class Engine {
 public:
  /// Loads the model, plans memory, starts the engine thread. Errors as load_model, plus
  /// out_of_memory.
  explicit Engine(const EngineOptions& options);
  /// Cancels what is running and frees everything.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const EngineInfo& info() const;

  /// Ids at or above this are never sampled (a vocabulary may have rows without tokens). Call
  /// before the first submit.
  void limit_vocab(std::int64_t limit);

  struct Ticket {
    std::uint64_t number = 0;
    std::shared_ptr<Answer> answer;
  };
  /// Queues a request. Errors, at once: invalid_argument (a parameter; an empty prompt; a token
  /// outside the vocabulary; prompt + max_tokens longer than max_model_len or than all KV blocks,
  /// with the numbers; a priority where the policy knows none), unavailable (shutting down).
  Ticket submit(Request request);
  /// Ends a request; its blocks are free within one step. Unknown or finished numbers are ignored.
  void cancel(std::uint64_t number);

  EngineStats stats() const;

  /// What a step must read and compute, part by part as a profile names them.
  std::vector<models::PartWork> work(const models::StepShape& shape) const;

  /// No new requests; true if those running ended within `timeout`.
  bool drain(std::chrono::milliseconds timeout);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace isotope::engine
