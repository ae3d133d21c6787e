// The engine thread, around a model that is ready. Engine (engine.h) loads one and puts it here;
// tests bring their own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/recent_rate.h"
#include "engine/runner.h"
#include "engine/scheduler.h"
#include "models/model.h"
#include "ops/context.h"
#include "ops/kv_cache.h"

namespace isotope::engine {

struct CoreOptions {
  models::StepLimits limits;
  std::size_t workspace_bytes = 0;
  ops::KvCacheShape kv;
  std::int64_t max_model_len = 0, max_num_seqs = 0;
  SchedulingPolicy policy = SchedulingPolicy::fcfs;
  bool prefix_caching = true, batch_invariant = true;
  ops::Path path = ops::Path::fast;
  std::uint64_t seed = 0;
  std::vector<TokenId> eos_ids;
  std::vector<std::int64_t> graph_sizes;  ///< decode steps to capture at start; GPUs only
  Poison poison;
  std::shared_ptr<ops::Profiler> profiler;
};

/// Threads: callers check, number and queue requests under `mutex_`; from then on a Job belongs to
/// the engine thread, which alone touches jobs_, scheduler_ and runner_. An answer is written only
/// after the counters that it implies, so whoever has seen an end also sees it in stats().
class EngineCore {
 public:
  /// On a GPU `kernels` is the library that the model was loaded with; kernels that it lacks are
  /// built, and graphs captured, before this returns. progress(done, total, name) of the graphs.
  EngineCore(
      std::unique_ptr<device::Device> device, std::unique_ptr<models::Model> model,
      const CoreOptions& options, std::shared_ptr<ops::gpu::KernelLibrary> kernels = nullptr,
      const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress = {});
  ~EngineCore();
  EngineCore(const EngineCore&) = delete;
  EngineCore& operator=(const EngineCore&) = delete;

  // As Engine.
  void limit_vocab(std::int64_t limit);
  Engine::Ticket submit(Request request);
  void cancel(std::uint64_t number);
  EngineStats stats() const;
  std::vector<models::PartWork> work(const models::StepShape& shape) const {
    return model_->work(shape, options_.kv);
  }
  bool drain(std::chrono::milliseconds timeout);

  /// Kernels that were compiled inside a step: none, if everything needed was built at start.
  std::int64_t late_builds() const {
    return context_.on_gpu() ? context_.kernels().late_builds() : 0;
  }
  jit::BuildStats kernel_stats() const { return context_.kernels().build_stats(); }
  /// Steps that were replayed from a graph. These three only while nothing runs.
  std::int64_t replayed_steps() const { return runner_.replayed(); }

 private:
  /// A request from submit to its end.
  struct Job {
    Sequence sequence;
    std::optional<RequestTimes::Clock::time_point> deadline;
    AnswerWriter writer;
    RequestTimes times;
    std::int64_t num_cached = -1;  // tokens found in the cache at the start; -1 before it
    /// What goes into the answer at the end of the step, in one piece: a consumer that sees the
    /// last token sees with it that it is the last.
    std::optional<Progress> outgoing = {};
  };
  /// What callers hand to the engine thread.
  struct Inbox {
    std::vector<std::unique_ptr<Job>> submitted;
    std::vector<std::uint64_t> cancelled;
    bool empty() const { return submitted.empty() && cancelled.empty(); }
    std::int64_t tokens() const;  // as Scheduler::waiting_tokens
  };

  void check(const Request& request) const;
  std::unique_ptr<Job> make_job(Request request, std::uint64_t number) const;

  // On the engine thread:
  void run();
  bool receive();
  void start(std::unique_ptr<Job> job);
  void expire();
  void step();
  void note_scheduled(const Step& step);
  void take_results(const Step& step, std::span<RowResult> results);
  void emit(Job& job, TokenOutput token);
  Progress& outgoing(Job& job);
  void finish(Job& job, FinishReason reason, std::string error = {});
  void finish_all(FinishReason reason, const std::string& error);
  void publish();

  const CoreOptions options_;
  const std::unique_ptr<device::Device> device_;
  const std::unique_ptr<models::Model> model_;
  ops::Context context_;
  ops::KvCache kv_;
  Runner runner_;
  Scheduler scheduler_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Job>> jobs_;
  std::set<std::pair<RequestTimes::Clock::time_point, std::uint64_t>> deadlines_;
  std::vector<std::unique_ptr<Job>> ended_;  // since the last publish()
  std::vector<Job*> writing_;                // jobs with something outgoing
  EngineStats counted_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, idle_;
  Inbox inbox_;
  EngineStats stats_;
  std::uint64_t next_number_ = 1, num_arrivals_ = 0;  // arrivals count first choices only
  RecentRate ends_;
  std::int64_t num_open_ = 0;  // submitted, and the end not yet written
  std::int64_t vocab_limit_;
  std::string refusal_;  // why submit refuses; empty while it does not
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace isotope::engine
