// The decoder that all families share: weights on the device and the forward pass.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "device/device.h"
#include "models/family.h"
#include "models/model.h"
#include "ops/linear/linear_weight.h"
#include "ops/rope_store/rope_store.h"

namespace isotope::models {

/// A linear layer, with the static activation scale that its checkpoint carries, if any.
struct Linear {
  ops::LinearWeight weight;
  std::optional<float> input_scale;
};

/// Shapes in the margin: h hidden, H heads, K KV heads, D head size, I intermediate.
struct DecoderLayer {
  TensorView attention_norm;  // [h] f32
  Linear qkv;                 // [(H + 2K)·D, h]
  TensorView q_norm, k_norm;  // [D] f32, or empty
  Linear output;              // [h, H·D]
  TensorView mlp_norm;        // [h] f32
  Linear gate_up;             // [2I, h]
  Linear down;                // [h, I]
};

struct DecoderWeights {
  Linear embedding;                // [vocab, h]
  std::optional<Linear> head;      // [vocab, h]; absent: the embedding serves
  bool embedding_in_host = false;  // page-locked, read over the bus: a few rows a step
  TensorView final_norm;           // [h] f32
  std::vector<DecoderLayer> layers;
  device::Buffer small;            // what the views above point to, and the RoPE frequencies
  TensorView inverse_frequencies;  // [D / 2] f32
};

/// What rooms above see of a decoder.
ModelInfo model_info(const Family& family, const DecoderSpec& spec);

/// Workspace of a forward pass; `activation` is the dtype of everything but the residual stream.
std::size_t decoder_workspace_bytes(const DecoderSpec& spec, DType activation,
                                    const StepLimits& limits);

class Decoder final : public Model {
 public:
  Decoder(const Family& family, const DecoderSpec& spec, DecoderWeights weights, bool f32);

  const ModelInfo& info() const override { return info_; }
  void forward(ops::Context& context, const ops::Batch& batch, const ops::KvCache& kv,
               const TensorView& logits) const override;
  std::size_t workspace_bytes(const StepLimits& limits) const override;
  std::size_t weight_bytes() const override;
  std::size_t host_bytes() const override;
  std::size_t streamed_bytes() const override;
  ops::TuningCases tuning_cases(ops::Context& context, const ops::TuningRows& rows,
                                DType kv_dtype) const override;
  std::vector<PartWork> work(const StepShape& shape, const ops::KvCacheShape& kv) const override;

 private:
  void attention_block(ops::Context& context, const DecoderLayer& layer, const ops::Batch& batch,
                       const ops::KvLayer& kv, std::int64_t block_size, const TensorView& x) const;
  void mlp_block(ops::Context& context, const DecoderLayer& layer, const ops::Batch& batch,
                 const TensorView& x) const;

  DecoderSpec spec_;
  DecoderWeights weights_;
  DType activation_;  // of everything but the residual stream, which is FP32
  ops::RopeSpec rope_;
  ModelInfo info_;
};

}  // namespace isotope::models
