#include "engine/engine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "device/device.h"
#include "engine/engine_core.h"
#include "engine/memory_plan.h"
#include "weights/checkpoint.h"
#include "weights/config.h"
#include "weights/dummy.h"

namespace isotope::engine {
namespace {

models::ComputeDtype compute_dtype(WeightDtype dtype) {
  switch (dtype) {
    case WeightDtype::automatic:
      return models::ComputeDtype::automatic;
    case WeightDtype::bf16:
      return models::ComputeDtype::bf16;
    case WeightDtype::f32:
      return models::ComputeDtype::f32;
  }
  assertion_failed("known weight dtype", __FILE__, __LINE__);
}

models::LoadOptions load_options(const EngineOptions& options) {
  return {compute_dtype(options.dtype), options.progress};
}

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

CoreOptions core_options(const EngineOptions& options, const MemoryPlan& plan,
                         std::vector<TokenId> eos_ids) {
  CoreOptions core;
  core.limits = plan.limits;
  core.workspace_bytes = plan.workspace_bytes;
  core.kv = plan.kv;
  core.max_model_len = plan.max_model_len;
  core.max_num_seqs = options.max_num_seqs;
  core.prefix_caching = options.prefix_caching;
  core.batch_invariant = options.batch_invariant;
  core.path = options.oracle ? ops::Path::oracle : ops::Path::fast;
  core.seed = options.seed;
  core.eos_ids = std::move(eos_ids);
  return core;
}

}  // namespace

MemoryPlan plan_memory(const EngineOptions& options, const weights::ModelConfig& config,
                       std::size_t available_bytes) {
  const models::ModelPlan model = models::plan_model(config, load_options(options));
  return plan_memory(options,
                     {model.info, model.weight_bytes, model.workspace_bytes, available_bytes});
}

class Engine::Impl {
 public:
  explicit Impl(const EngineOptions& options) {
    validate(options);
    const weights::ModelConfig config = weights::read_model_config(options.model);
    info_.default_sampling = default_sampling(config);
    auto device = device::open_device(options.device, options.threads);
    const MemoryPlan plan = plan_memory(options, config, device->memory().available);
    auto model = load(options, config, *device);
    describe(plan, config, *device, *model);
    core_ = std::make_unique<EngineCore>(std::move(device), std::move(model),
                                         core_options(options, plan, info_.eos_ids));
  }

  const EngineInfo& info() const { return info_; }
  EngineCore& core() const { return *core_; }

 private:
  std::unique_ptr<models::Model> load(const EngineOptions& options,
                                      const weights::ModelConfig& config, device::Device& device) {
    const auto source = options.load_format == LoadFormat::dummy
                            ? weights::make_dummy_source(config, options.seed)
                            : weights::open_checkpoint(options.model);
    // Weights are packed in place; the workspace of steps comes with the core.
    ops::Context context(device, 0, options.oracle ? ops::Path::oracle : ops::Path::fast,
                         options.batch_invariant);
    models::LoadReport report;
    auto model = models::load_model(context, config, *source, load_options(options), report);
    info_.unused_tensors = std::move(report.unused);
    info_.skipped_tensors = report.skipped;
    return model;
  }

  void describe(const MemoryPlan& plan, const weights::ModelConfig& config,
                const device::Device& device, const models::Model& model) {
    info_.family = model.info().family;
    info_.device = device.name();
    info_.kv_dtype = plan.kv.dtype == DType::f8_e4m3 ? "fp8" : "bf16";
    info_.vocab_size = model.info().vocab_size;
    info_.max_model_len = plan.max_model_len;
    info_.block_size = plan.kv.block_size;
    info_.num_kv_blocks = plan.kv.num_blocks;
    info_.weight_bytes = model.weight_bytes();
    info_.streamed_weight_bytes = model.streamed_bytes();
    info_.kv_bytes = plan.kv_bytes;
    info_.workspace_bytes = plan.workspace_bytes;
    info_.eos_ids = usable_eos(config);
  }

  EngineInfo info_;
  std::unique_ptr<EngineCore> core_;
};

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Engine::~Engine() = default;

const EngineInfo& Engine::info() const { return impl_->info(); }
void Engine::limit_vocab(std::int64_t limit) { impl_->core().limit_vocab(limit); }
Engine::Ticket Engine::submit(Request request) { return impl_->core().submit(std::move(request)); }
void Engine::cancel(std::uint64_t number) { impl_->core().cancel(number); }
EngineStats Engine::stats() const { return impl_->core().stats(); }
bool Engine::drain(std::chrono::milliseconds timeout) { return impl_->core().drain(timeout); }

}  // namespace isotope::engine
