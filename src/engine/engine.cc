#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <limits>
#include <mutex>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "device/device.h"
#include "engine/engine_core.h"
#include "engine/memory_plan.h"
#include "engine/required_kernels.h"
#include "weights/checkpoint.h"
#include "weights/config.h"
#include "weights/dummy.h"

namespace isotope::engine {
namespace {

SamplingParams default_sampling(const weights::ModelConfig& config) {
  const weights::GenerationConfig& generation = config.generation;
  SamplingParams params;
  if (generation.temperature) params.temperature = float(*generation.temperature);
  if (generation.top_p) params.top_p = float(*generation.top_p);
  if (generation.min_p) params.min_p = float(*generation.min_p);
  if (generation.repetition_penalty)
    params.repetition_penalty = float(*generation.repetition_penalty);
  if (generation.top_k)
    params.top_k = std::int32_t(
        std::clamp<std::int64_t>(*generation.top_k, -1, std::numeric_limits<std::int32_t>::max()));
  try {
    validate(params, config.text.vocab_size);
  } catch (const Error& error) {
    fail(ErrorCode::corrupt_data, "{}: the sampling defaults of generation_config.json: {}",
         config.path.parent_path().string(), error.what());
  }
  return params;
}

/// An end-of-sequence id without a row of logits can never be drawn.
std::vector<TokenId> usable_eos(const weights::ModelConfig& config) {
  std::vector<TokenId> ids = config.generation.eos_ids;
  std::erase_if(ids, [&](TokenId id) { return id < 0 || id >= config.text.vocab_size; });
  return ids;
}

CoreOptions core_options(const EngineOptions& options, const MemoryPlan& plan, bool gpu,
                         std::vector<TokenId> eos_ids) {
  CoreOptions core;
  core.limits = plan.limits;
  core.workspace_bytes = plan.workspace_bytes;
  core.kv = plan.kv;
  core.max_model_len = plan.max_model_len;
  core.max_num_seqs = options.max_num_seqs;
  core.policy = options.scheduling_policy;
  core.prefix_caching = options.prefix_caching;
  core.batch_invariant = options.batch_invariant;
  core.path = options.oracle ? ops::Path::oracle : ops::Path::fast;
  core.profiler = options.profiler;
  core.seed = options.seed;
  core.eos_ids = std::move(eos_ids);
  if (gpu && !options.enforce_eager) core.graph_sizes = graph_sizes(options.max_num_seqs);
  return core;
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// One progress report for weights, kernels and graphs, which come from two threads.
class StartProgress {
 public:
  using Report = std::function<void(std::int64_t, std::int64_t, std::string_view)>;
  explicit StartProgress(Report report) : report_(std::move(report)) {}

  /// A part of the work with `total` pieces; more than is known yet may be said later.
  Report part(std::int64_t total) {
    const std::lock_guard lock(mutex_);
    const std::size_t index = parts_.size();
    parts_.push_back({0, total});
    return [this, index](std::int64_t done, std::int64_t of, std::string_view what) {
      if (!report_) return;
      const std::lock_guard reporting(mutex_);
      parts_[index] = {done, of};
      Part sum;
      for (const Part& part : parts_) sum.done += part.done, sum.total += part.total;
      report_(sum.done, sum.total, what);
    };
  }

 private:
  struct Part {
    std::int64_t done = 0, total = 0;
  };
  Report report_;
  std::mutex mutex_;
  std::vector<Part> parts_;
};

}  // namespace

class Engine::Impl {
 public:
  explicit Impl(const EngineOptions& options) : progress_(options.progress) {
    const Stopwatch total;
    validate(options);
    const weights::ModelConfig config = weights::read_model_config(options.model);
    info_.default_sampling = default_sampling(config);
    auto device = device::open_device(options.device, options.threads);
    const PlanDevice memory = plan_device(*device);
    const MemoryPlan plan = plan_memory(options, config, memory);
    const CoreOptions core = core_options(options, plan, memory.gpu, usable_eos(config));
    const StartProgress::Report graphs = progress_.part(std::int64_t(core.graph_sizes.size()));
    // Weights are packed in place; the workspace of steps comes with the core.
    ops::Context context(*device, 0, core.path, core.batch_invariant);
    std::future<void> kernels = build_kernels(options, config, context);
    auto model = load(options, config, memory, context);
    if (kernels.valid()) kernels.get();
    describe(options, plan, config, *device, *model);
    const Stopwatch capture;
    try {
      core_ = std::make_unique<EngineCore>(std::move(device), std::move(model), core,
                                           context.shared_kernels(), graphs);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory || !memory.gpu) throw;
      throw Error(error.code(), fmt::format("{}. The plan had room for it, so something else takes "
                                            "memory of the card: lower --gpu-memory-utilization",
                                            error.what()));
    }
    if (!core.graph_sizes.empty()) info_.start.capture_seconds = capture.seconds();
    info_.graph_sizes = core.graph_sizes;
    info_.start.total_seconds = total.seconds();
  }

  const EngineInfo& info() const { return info_; }
  EngineCore& core() const { return *core_; }

 private:
  /// On a GPU, in a thread of its own while the weights are loaded.
  std::future<void> build_kernels(const EngineOptions& options, const weights::ModelConfig& config,
                                  ops::Context& context) {
    if (!context.on_gpu()) return {};
    const std::string arch = context.kernels().properties().arch;
    auto units = required_kernels(config, arch, options);
    info_.start.kernels = std::int64_t(units.size());
    auto report = progress_.part(info_.start.kernels);
    return std::async(std::launch::async, [this, &context, units = std::move(units), report] {
      const Stopwatch watch;
      context.kernels().build(units, report);
      info_.start.kernels_seconds = watch.seconds();
      info_.start.kernels_compiled = context.kernels().build_stats().compiled;
    });
  }

  std::unique_ptr<models::Model> load(const EngineOptions& options,
                                      const weights::ModelConfig& config, const PlanDevice& memory,
                                      ops::Context& context) {
    const Stopwatch watch;
    const auto source = options.load_format == LoadFormat::dummy
                            ? weights::make_dummy_source(config, options.seed)
                            : weights::open_checkpoint(options.model);
    models::LoadOptions load = load_options(options, memory);
    load.progress = progress_.part(0);
    models::LoadReport report;
    auto model = models::load_model(context, config, *source, load, report);
    info_.unused_tensors = std::move(report.unused);
    info_.skipped_tensors = report.skipped;
    info_.start.load_seconds = watch.seconds();
    return model;
  }

  void describe(const EngineOptions& options, const MemoryPlan& plan,
                const weights::ModelConfig& config, const device::Device& device,
                const models::Model& model) {
    info_.family = model.info().family;
    info_.device = device.name();
    info_.kv_dtype = plan.kv.dtype == DType::f8_e4m3 ? "fp8" : "bf16";
    info_.vocab_size = model.info().vocab_size;
    info_.max_model_len = plan.max_model_len;
    info_.max_num_seqs = options.max_num_seqs;
    info_.prefix_caching = options.prefix_caching;
    info_.max_num_batched_tokens = plan.limits.max_rows;
    info_.block_size = plan.kv.block_size;
    info_.num_kv_blocks = plan.kv.num_blocks;
    info_.weight_bytes = model.weight_bytes();
    info_.host_weight_bytes = model.host_bytes();
    info_.streamed_weight_bytes = model.streamed_bytes();
    info_.kv_bytes = plan.kv_bytes;
    info_.workspace_bytes = plan.workspace_bytes;
    info_.eos_ids = usable_eos(config);
  }

  EngineInfo info_;
  StartProgress progress_;
  std::unique_ptr<EngineCore> core_;
};

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Engine::~Engine() = default;

const EngineInfo& Engine::info() const { return impl_->info(); }
void Engine::limit_vocab(std::int64_t limit) { impl_->core().limit_vocab(limit); }
Engine::Ticket Engine::submit(Request request) { return impl_->core().submit(std::move(request)); }
void Engine::cancel(std::uint64_t number) { impl_->core().cancel(number); }
EngineStats Engine::stats() const { return impl_->core().stats(); }
std::vector<models::PartWork> Engine::work(const models::StepShape& shape) const {
  return impl_->core().work(shape);
}
bool Engine::drain(std::chrono::milliseconds timeout) { return impl_->core().drain(timeout); }

}  // namespace isotope::engine
