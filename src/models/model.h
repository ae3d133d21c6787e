// A model on a device: weights, and one forward for every family and backend.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ops/batch.h"
#include "ops/context.h"
#include "ops/kv_cache.h"
#include "ops/tuning/tuning_case.h"
#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::models {

/// What rooms above need to know of a model's shape.
struct ModelInfo {
  std::string family;  ///< registry name: "qwen3", "llama", "ministral3"
  std::int64_t num_layers = 0, hidden_size = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  std::int64_t intermediate_size = 0, vocab_size = 0, max_position_embeddings = 0;
};

/// The largest step that a model's workspace is planned for.
struct StepLimits {
  std::int64_t max_rows =
      0;  ///< tokens in one step (max_num_batched_tokens, at least max_num_seqs)
  std::int64_t max_logits = 0;   ///< rows with logits in one step
  std::int64_t max_context = 0;  ///< longest sequence
  bool gpu = false;              ///< the workspace of a GPU, where some intermediate values stay in registers
};

/// How the numbers of a model are kept.
enum class ComputeDtype { automatic, bf16, f32 };

/// The matrix that makes logits.
enum class HeadDtype {
  stored,           ///< as the checkpoint has it
  fp8_if_separate,  ///< quantized per row while loading, unless it is the embedding table
  fp8,              ///< quantized per row in any case; a tied table is then kept twice
};

struct LoadOptions {
  /// automatic: f32 for checkpoints in F32, else bf16. f32 weights are meant for small models and
  /// references.
  ComputeDtype dtype = ComputeDtype::automatic;
  /// F32 weights are never quantized.
  HeadDtype head = HeadDtype::stored;
  /// On GPUs: an embedding table that is no head stays in page-locked host memory.
  bool embedding_in_host = false;
  /// progress(done, total, name) in packed tensors.
  std::function<void(std::int64_t, std::int64_t, std::string_view)> progress;
};

/// What happened to the checkpoint's tensors. Missing ones are an Error that names them all.
struct LoadReport {
  std::int64_t used = 0;
  std::vector<std::string> unused;  ///< in the checkpoint, asked for by nobody
  std::int64_t skipped =
      0;  ///< under prefixes that the family declares as skipped (vision tower, projector)
  std::int64_t kept_input_scales = 0;  ///< static activation scales read and kept
  std::size_t weight_bytes = 0;        ///< on the device
  std::size_t host_bytes = 0;          ///< of weights that stay in host memory
};

/// What a step must do, of its `rows`, those with logits, and of attention.
struct StepShape {
  std::int64_t rows = 0, logits = 0;
  std::int64_t keys = 0;   ///< live keys of all sequences, each read once
  std::int64_t pairs = 0;  ///< of a query and a key that it sees
};

/// A part of the step, as Context::mark() names it.
struct PartWork {
  std::string_view part;
  std::int64_t calls = 0;
  /// Over all calls: weights and live K and V each once (activations ignored), multiplications and additions.
  double bytes = 0, flops = 0;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  /// logits [num_logits, vocab] f32 for batch.logit_rows; K and V of every row go into `kv`.
  virtual void forward(ops::Context& context, const ops::Batch& batch, const ops::KvCache& kv,
                       const TensorView& logits) const = 0;
  /// Workspace that forward takes for the largest step within `limits`.
  virtual std::size_t workspace_bytes(const StepLimits& limits) const = 0;
  /// On the device.
  virtual std::size_t weight_bytes() const = 0;
  /// Of weights that stay in host memory.
  virtual std::size_t host_bytes() const { return 0; }
  /// What one step reads in full: all weights but an embedding table that is no head.
  virtual std::size_t streamed_bytes() const { return weight_bytes(); }
  /// What `isotope tune` can try on a GPU. `context` needs a workspace as for these rows.
  virtual ops::TuningCases tuning_cases(ops::Context& context, const ops::TuningRows& rows,
                                        DType kv_dtype) const = 0;
  /// In the order of a step.
  virtual std::vector<PartWork> work(const StepShape& shape, const ops::KvCacheShape& kv) const {
    (void)shape;
    (void)kv;
    return {};
  }
};

/// Loads the model that `config` describes. Errors: unsupported (architecture, activation, bias…),
/// not_found naming missing tensors, corrupt_data naming tensors of the wrong shape.
std::unique_ptr<Model> load_model(ops::Context& context, const weights::ModelConfig& config,
                                  const weights::TensorSource& source, const LoadOptions& options,
                                  LoadReport& report);

/// Everything about a model that follows from its configuration alone, without loading it. Where
/// the configuration does not say whether embedding and head are tied, it counts two tables.
struct ModelPlan {
  ModelInfo info;
  std::int64_t parameters = 0;
  std::size_t weight_bytes = 0;  ///< on the device
  std::size_t host_bytes = 0;
  /// As Model::workspace_bytes.
  std::function<std::size_t(const StepLimits&)> workspace_bytes;
};
/// `gpu`: with weights packed as GPUs read them.
ModelPlan plan_model(const weights::ModelConfig& config, const LoadOptions& options,
                     bool gpu = false);

/// Architectures that load_model accepts ("Qwen3ForCausalLM", …).
std::vector<std::string> supported_architectures();

}  // namespace isotope::models
