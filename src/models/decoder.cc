#include "models/decoder.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "models/rope.h"
#include "ops/attention/attention.h"
#include "ops/embed/embed.h"
#include "ops/linear_add/linear_add.h"
#include "ops/norm_linear/norm_linear.h"
#include "ops/norm_swiglu/norm_swiglu.h"

namespace isotope::models {
namespace {

using ops::Workspace;

ops::RopeSpec rope_spec(const DecoderSpec& spec, const TensorView& inverse_frequencies) {
  ops::RopeSpec rope;
  rope.num_heads = spec.num_heads;
  rope.num_kv_heads = spec.num_kv_heads;
  rope.head_dim = spec.head_dim;
  rope.inverse_frequencies = inverse_frequencies;
  rope.attention_factor = float(make_rope_table(spec.rope, spec.head_dim).attention_factor);
  rope.query_scale_beta = float(spec.rope.query_scale_beta);
  rope.query_scale_original_max_position =
      std::max<std::int64_t>(1, spec.rope.query_scale_original_max_position);
  return rope;
}

}  // namespace

ModelInfo model_info(const Family& family, const DecoderSpec& spec) {
  ModelInfo info;
  info.family = family.name;
  info.num_layers = spec.num_layers;
  info.hidden_size = spec.hidden_size;
  info.num_heads = spec.num_heads;
  info.num_kv_heads = spec.num_kv_heads;
  info.head_dim = spec.head_dim;
  info.intermediate_size = spec.intermediate_size;
  info.vocab_size = spec.vocab_size;
  info.max_position_embeddings = spec.max_position_embeddings;
  return info;
}

Decoder::Decoder(const Family& family, const DecoderSpec& spec, DecoderWeights weights, bool f32)
    : spec_(spec),
      weights_(std::move(weights)),
      activation_(f32 ? DType::f32 : DType::bf16),
      rope_(rope_spec(spec, weights_.inverse_frequencies)),
      info_(model_info(family, spec)) {}

// Shapes: T rows of this step, h hidden, H heads, K KV heads, D head size, I intermediate, V
// vocabulary.
void Decoder::forward(ops::Context& context, const ops::Batch& batch, const ops::KvCache& kv,
                      const TensorView& logits) const {
  const Workspace::Scope scope(context.workspace());
  const TensorView x =  // [T, h], the residual stream
      context.workspace().take(DType::f32, {batch.rows.total, spec_.hidden_size});
  context.mark("embed");
  ops::embed(context, batch.token_ids, weights_.embedding.weight, x);
  if (const std::int64_t first = context.poisoned_from; first >= 0 && first < batch.rows.total) {
    const TensorView idle = x.rows(first, batch.rows.total - first);
    context.stream().fill(idle.data, 0xff, std::size_t(idle.bytes()));
  }
  for (std::int64_t i = 0; i < spec_.num_layers; ++i) {
    const DecoderLayer& layer = weights_.layers[std::size_t(i)];
    attention_block(context, layer, batch, kv.layer(i), kv.shape().block_size, x);
    mlp_block(context, layer, batch, x);
  }
  if (logits.empty() || logits.shape[0] == 0) return;
  // A row's logits come from one kernel whatever its phase, so that a token is drawn from the same
  // numbers whether its prompt was read at once, in chunks, or found in the prefix cache.
  context.mark("head");
  const ops::Rows all_decode{logits.shape[0], logits.shape[0]};
  const Linear& head = weights_.head ? *weights_.head : weights_.embedding;
  ops::norm_linear(context, x, batch.logit_rows, weights_.final_norm, spec_.rms_norm_eps,
                   head.weight, logits, all_decode);  // [logit rows, V]
}

void Decoder::attention_block(ops::Context& context, const DecoderLayer& layer,
                              const ops::Batch& batch, const ops::KvLayer& kv,
                              std::int64_t block_size, const TensorView& x) const {
  Workspace& workspace = context.workspace();
  const Workspace::Scope scope(workspace);
  const std::int64_t rows = batch.rows.total;
  const TensorView qkv = workspace.take(activation_, {rows, spec_.q_size() + 2 * spec_.kv_size()});
  const TensorView q = workspace.take(activation_, {rows, spec_.num_heads, spec_.head_dim});
  const TensorView heads = workspace.take(activation_, {rows, spec_.q_size()});
  context.mark("qkv");
  ops::norm_linear(context, x, {}, layer.attention_norm, spec_.rms_norm_eps, layer.qkv.weight, qkv,
                   batch.rows);
  context.mark("rope_store");
  ops::rope_store(context, qkv, layer.q_norm, layer.k_norm, spec_.rms_norm_eps, rope_, batch, q,
                  kv);
  context.mark("attention");
  ops::attention(context, q, kv, block_size, batch, heads);
  context.mark("output");
  ops::linear_add(context, heads, layer.output.weight, x, batch.rows);
}

void Decoder::mlp_block(ops::Context& context, const DecoderLayer& layer, const ops::Batch& batch,
                        const TensorView& x) const {
  Workspace& workspace = context.workspace();
  const Workspace::Scope scope(workspace);
  const std::int64_t rows = batch.rows.total;
  const TensorView inner = workspace.take(activation_, {rows, spec_.intermediate_size});
  context.mark("gate_up");
  ops::norm_swiglu(context, x, layer.mlp_norm, spec_.rms_norm_eps, layer.gate_up.weight, inner,
                   batch.rows);
  context.mark("down");
  ops::linear_add(context, inner, layer.down.weight, x, batch.rows);
}

std::size_t decoder_workspace_bytes(const DecoderSpec& spec, DType activation,
                                    const StepLimits& limits) {
  const auto tensor = [activation](std::int64_t rows, std::int64_t columns) {
    return round_up<std::size_t>(std::size_t(rows * columns) * size_of(activation), 64);
  };
  const std::int64_t rows = limits.max_rows;
  const std::size_t residual = round_up<std::size_t>(std::size_t(rows * spec.hidden_size) * 4, 64);
  const std::size_t attention =
      tensor(rows, spec.q_size() + 2 * spec.kv_size()) + 2 * tensor(rows, spec.q_size()) +
      std::max({ops::norm_linear_scratch(rows, spec.hidden_size, limits.gpu),
                ops::attention_scratch(rows, spec.num_heads, spec.head_dim, limits.max_context,
                                       limits.gpu),
                ops::linear_add_scratch(rows, spec.q_size(), limits.gpu)});
  const std::size_t mlp =
      tensor(rows, spec.intermediate_size) +
      std::max(ops::norm_swiglu_scratch(rows, spec.hidden_size, spec.intermediate_size, activation,
                                        limits.gpu),
               ops::linear_add_scratch(rows, spec.intermediate_size, limits.gpu));
  const std::size_t head =
      ops::norm_linear_scratch(limits.max_logits, spec.hidden_size, limits.gpu);
  return residual + std::max({attention, mlp, head});
}

std::size_t Decoder::workspace_bytes(const StepLimits& limits) const {
  return decoder_workspace_bytes(spec_, activation_, limits);
}

std::size_t Decoder::weight_bytes() const {
  std::size_t total = weights_.small.size();
  if (!weights_.embedding_in_host) total += weights_.embedding.weight.bytes();
  if (weights_.head) total += weights_.head->weight.bytes();
  for (const DecoderLayer& layer : weights_.layers)
    for (const Linear* linear : {&layer.qkv, &layer.output, &layer.gate_up, &layer.down})
      total += linear->weight.bytes();
  return total;
}

std::size_t Decoder::host_bytes() const {
  return weights_.embedding_in_host ? weights_.embedding.weight.bytes() : 0;
}

std::size_t Decoder::streamed_bytes() const {
  return weight_bytes() + host_bytes() - (weights_.head ? weights_.embedding.weight.bytes() : 0);
}

}  // namespace isotope::models
