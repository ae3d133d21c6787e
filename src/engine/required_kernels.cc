#include "engine/required_kernels.h"

#include <memory>

#include "device/gpu.h"
#include "engine/memory_plan.h"
#include "engine/runner.h"
#include "models/model.h"
#include "weights/dummy.h"

namespace isotope::engine {
namespace {

/// Longer contexts and larger caches change no kernel, and a card of any size can then be planned
/// for.
constexpr std::int64_t kNumBlocks = 64;
/// On paper memory costs nothing; no model that is served is larger.
constexpr std::size_t kPaperBytes = std::size_t(1) << 46;

/// One layer stands for all. An FP8 head is asked for as if the checkpoint had it, so that nothing
/// is quantized.
weights::ModelConfig reduced(weights::ModelConfig config, const models::LoadOptions& load) {
  config.text.num_layers = 1;
  const bool tied = config.text.tie_word_embeddings.value_or(false);
  if (config.text.dtype != "float32" &&
      (load.head == models::HeadDtype::fp8 ||
       (load.head == models::HeadDtype::fp8_if_separate && !tied)))
    config.text.quantization.lm_head = true;
  return config;
}

}  // namespace

std::vector<ops::gpu::NotedKernel> required_launches(const weights::ModelConfig& config,
                                                     std::string_view arch,
                                                     const EngineOptions& options) {
  validate(options);
  const auto card = device::open_paper_gpu(arch);
  PlanDevice device = plan_device(*card);
  models::LoadOptions load = load_options(options, device);
  load.progress = nullptr;
  const weights::ModelConfig shapes = reduced(config, load);
  load.head = models::HeadDtype::stored;

  const auto paper = device::open_paper_gpu(arch, kPaperBytes);
  ops::Context loading(*paper, 0, ops::Path::fast, options.batch_invariant);
  models::LoadReport report;
  const auto model =
      models::load_model(loading, shapes, *weights::make_shape_source(shapes), load, report);
  const std::int64_t length =
      options.max_model_len > 0 ? options.max_model_len : model->info().max_position_embeddings;
  models::StepLimits limits =
      step_limits(batched_tokens(options, device), options.max_num_seqs, length);
  limits.gpu = true;
  const models::ModelInfo& info = model->info();
  const ops::KvCache kv(
      *paper, {info.num_layers, kNumBlocks, options.block_size, info.num_kv_heads, info.head_dim,
               options.kv_dtype == KvDtype::fp8 ? DType::f8_e4m3 : DType::bf16});
  ops::Context context(
      *paper, step_workspace(model->workspace_bytes(limits), limits, model->info().vocab_size),
      ops::Path::fast, options.batch_invariant, loading.shared_kernels());
  Runner runner(context, *model, kv, limits, options.max_num_seqs);
  runner.required_kernels();
  return context.kernels().noted();
}

std::vector<jit::Unit> required_kernels(const weights::ModelConfig& config, std::string_view arch,
                                        const EngineOptions& options) {
  std::vector<jit::Unit> units;
  for (ops::gpu::NotedKernel& kernel : required_launches(config, arch, options))
    units.push_back(std::move(kernel.unit));
  return units;
}

}  // namespace isotope::engine
