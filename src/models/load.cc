// From a checkpoint's tensors to a Decoder: every tensor is found, checked, packed and accounted
// for.
#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include <fmt/core.h>

#include "base/checked.h"
#include "models/decoder.h"
#include "models/rope.h"
#include "models/tensor_names.h"
#include "ops/norm_swiglu/norm_swiglu.h"
#include "weights/quantize_tensor.h"

namespace isotope::models {
namespace {

using weights::TensorSource;

/// One matrix of a stack: a projection and its number of output features.
struct Projection {
  std::string_view name;
  std::int64_t features;
};

std::vector<Projection> qkv_projections(const DecoderSpec& spec) {
  return {{"self_attn.q_proj", spec.q_size()},
          {"self_attn.k_proj", spec.kv_size()},
          {"self_attn.v_proj", spec.kv_size()}};
}

std::vector<Projection> gate_up_projections(const DecoderSpec& spec) {
  return {{"mlp.gate_proj", spec.intermediate_size}, {"mlp.up_proj", spec.intermediate_size}};
}

/// Weights of all norms together.
std::int64_t norm_elements(const DecoderSpec& spec) {
  const std::int64_t per_layer = 2 * spec.hidden_size + (spec.qk_norm ? 2 * spec.head_dim : 0);
  return spec.num_layers * per_layer + spec.hidden_size;
}

bool keeps_f32(const weights::ModelConfig& config, const LoadOptions& options) {
  if (options.dtype == ComputeDtype::automatic) return config.text.dtype == "float32";
  return options.dtype == ComputeDtype::f32;
}

class Loader {
 public:
  Loader(ops::Context& context, const DecoderSpec& spec, const TensorSource& source,
         const LoadOptions& options, bool f32, LoadReport& report)
      : context_(context),
        spec_(spec),
        source_(source),
        options_(options),
        f32_(f32),
        names_(source),
        report_(report) {}

  DecoderWeights load() {
    require_complete();
    DecoderWeights weights;
    allocate_small(weights);
    load_embedding_and_head(weights);
    for (std::int64_t i = 0; i < spec_.num_layers; ++i) weights.layers.push_back(load_layer(i));
    weights.final_norm = load_norm(names_.final_norm(), spec_.hidden_size);
    return weights;
  }

  std::set<std::string> take_used() { return {used_.begin(), used_.end()}; }

 private:
  /// All missing tensors in one message, before anything is packed.
  void require_complete() const {
    std::vector<std::string> missing;
    const auto require = [&](const std::string& name) {
      if (!source_.contains(name)) missing.push_back(name);
    };
    if (!has(names_.head())) require(names_.embedding() + ".weight");
    require(names_.final_norm());
    for (std::int64_t i = 0; i < spec_.num_layers; ++i) {
      for (const std::string_view norm : {"input_layernorm", "post_attention_layernorm"})
        require(names_.norm(i, norm));
      if (spec_.qk_norm)
        for (const std::string_view norm : {"self_attn.q_norm", "self_attn.k_norm"})
          require(names_.norm(i, norm));
      for (const std::string_view linear :
           {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
        require(names_.linear(i, linear) + ".weight");
    }
    if (missing.empty()) return;
    constexpr std::size_t kShown =
        1000;  // beyond any model served; a damaged config may ask for more
    std::string list;
    for (std::size_t i = 0; i < std::min(kShown, missing.size()); ++i)
      list += (i ? ", " : "") + missing[i];
    if (missing.size() > kShown) list += fmt::format(" and {} more", missing.size() - kShown);
    fail(ErrorCode::not_found, "{}: {} tensor{} missing: {}", source_.describe(), missing.size(),
         missing.size() == 1 ? " is" : "s are", list);
  }

  bool has(const std::string& prefix) const { return source_.contains(prefix + ".weight"); }

  /// Norm weights and RoPE frequencies share one buffer: they are tiny, and a mapping each would
  /// waste pages.
  void allocate_small(DecoderWeights& weights) {
    const std::int64_t count = norm_elements(spec_) + spec_.head_dim / 2;
    weights.small = context_.device().allocate(std::size_t(count) * sizeof(float), "norm weights");
    next_small_ = weights.small.as<float>();
    std::vector<float> frequencies;
    for (const double frequency : make_rope_table(spec_.rope, spec_.head_dim).inverse_frequencies)
      frequencies.push_back(float(frequency));
    weights.inverse_frequencies = upload(frequencies);
  }

  TensorView upload(const std::vector<float>& values) {
    const TensorView view(DType::f32, Shape{std::int64_t(values.size())}, next_small_);
    context_.stream().copy_to_device(next_small_, values.data(), values.size() * sizeof(float));
    context_.stream().synchronize();
    next_small_ += values.size();
    return view;
  }

  TensorView load_norm(const std::string& name, std::int64_t size) {
    const TensorView tensor = source_.find(name);
    if (tensor.shape.elements() != size || tensor.shape.rank() != 1)
      fail(ErrorCode::corrupt_data, "{}: {} has shape {}; the configuration asks for [{}]",
           source_.describe(), name, tensor.shape.to_string(), size);
    if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16)
      fail(ErrorCode::unsupported, "{}: {} has dtype {}; expected f32, f16 or bf16",
           source_.describe(), name, name_of(tensor.dtype));
    std::vector<float> values(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) values[std::size_t(i)] = load_float(tensor, i);
    source_.release(tensor);
    used_.push_back(name);
    return upload(values);
  }

  Linear load_linear(const std::vector<std::pair<std::string, std::int64_t>>& prefixes,
                     std::int64_t k, const ops::PackOptions& options = {}) {
    Linear linear;
    std::vector<ops::LinearPart> parts;
    for (const auto& [prefix, n] : prefixes) {
      const ScaledTensor tensor = weights::find_linear(source_, prefix, n, k, used_);
      if (!tensor.input_scale.empty()) {
        // q, k, v and gate, up share one activation scale; the larger one covers both if a file
        // differs.
        const float scale = load_float(tensor.input_scale, 0);
        linear.input_scale = std::max(linear.input_scale.value_or(0.0f), scale);
        ++report_.kept_input_scales;
      }
      parts.push_back({tensor, [this, tensor] { source_.release(tensor.weight); }});
    }
    linear.weight = pack(parts, prefixes[0].first, options);
    note_packed(prefixes[0].first);
    return linear;
  }

  void note_packed(const std::string& name) {
    ++packed_;
    if (options_.progress) options_.progress(packed_, matrices_, name);
  }

  /// Packing knows parts by number; the reader of an error needs to know where they stand.
  ops::LinearWeight pack(const std::vector<ops::LinearPart>& parts, const std::string& first,
                         const ops::PackOptions& options) {
    try {
      return ops::pack_linear(context_, parts, f32_, options);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: the linear layer that begins with {}: {}",
                                            source_.describe(), first, error.what()));
    }
  }

  Linear load_stack(std::int64_t layer, const std::vector<Projection>& projections, std::int64_t k,
                    const ops::PackOptions& pack_options = {}) {
    std::vector<std::pair<std::string, std::int64_t>> prefixes;
    for (const Projection& projection : projections)
      prefixes.emplace_back(names_.linear(layer, projection.name), projection.features);
    return load_linear(prefixes, k, pack_options);
  }

  DecoderLayer load_layer(std::int64_t i) {
    DecoderLayer layer;
    layer.attention_norm = load_norm(names_.norm(i, "input_layernorm"), spec_.hidden_size);
    layer.qkv = load_stack(i, qkv_projections(spec_), spec_.hidden_size);
    if (spec_.qk_norm) {
      layer.q_norm = load_norm(names_.norm(i, "self_attn.q_norm"), spec_.head_dim);
      layer.k_norm = load_norm(names_.norm(i, "self_attn.k_norm"), spec_.head_dim);
    }
    layer.output = load_stack(i, {{"self_attn.o_proj", spec_.hidden_size}}, spec_.q_size());
    layer.mlp_norm = load_norm(names_.norm(i, "post_attention_layernorm"), spec_.hidden_size);
    layer.gate_up = load_stack(i, gate_up_projections(spec_), spec_.hidden_size,
                               {.row_order = ops::norm_swiglu_row_order(context_)});
    layer.down = load_stack(i, {{"mlp.down_proj", spec_.hidden_size}}, spec_.intermediate_size);
    return layer;
  }

  /// Either tensor may stand in for the other. Some checkpoints hold a head that equals the
  /// embedding: it is kept once.
  void load_embedding_and_head(DecoderWeights& weights) {
    const bool embedding = has(names_.embedding()), head = has(names_.head());
    const bool copy = embedding && head && same_bytes(names_.embedding(), names_.head());
    const bool separate = embedding && head && !copy;
    const std::string& table = embedding ? names_.embedding() : names_.head();
    const bool quantize = !f32_ && (options_.head == HeadDtype::fp8 ||
                                    (options_.head == HeadDtype::fp8_if_separate && separate));
    matrices_ = 4 * spec_.num_layers + (separate || quantize ? 2 : 1);
    if (quantize)
      weights.head = load_quantized_head(separate ? names_.head() : table, separate);
    else if (separate)
      weights.head = load_linear({{names_.head(), spec_.vocab_size}}, spec_.hidden_size);
    if (copy) used_.push_back(names_.head() + ".weight");
    ops::PackOptions options;
    options.gathered_only = weights.head.has_value();
    options.pinned = weights.embedding_in_host =
        options.gathered_only && options_.embedding_in_host && context_.on_gpu();
    weights.embedding = load_linear({{table, spec_.vocab_size}}, spec_.hidden_size, options);
  }

  /// The head at FP8 with a scale per row; as it is if the checkpoint has it in FP8.
  Linear load_quantized_head(const std::string& prefix, bool last_use) {
    const std::int64_t n = spec_.vocab_size, k = spec_.hidden_size;
    const ScaledTensor stored = weights::find_linear(source_, prefix, n, k, used_);
    if (stored.weight.dtype == DType::f8_e4m3) return load_linear({{prefix, n}}, k);
    ThreadPool pool;
    weights::QuantizedMatrix quantized;
    weights::quantize_matrix(stored.weight, ScaleLayout::per_row, prefix, pool, quantized);
    if (last_use) source_.release(stored.weight);
    ScaledTensor tensor;
    tensor.weight = TensorView(DType::f8_e4m3, {n, k}, quantized.codes.data());
    tensor.scale_layout = ScaleLayout::per_row;
    tensor.scale = TensorView(DType::f32, {n, 1}, quantized.scales.data());
    Linear linear;
    linear.weight = pack({{tensor, {}}}, prefix, {});
    note_packed(prefix);
    return linear;
  }

  bool same_bytes(const std::string& a, const std::string& b) const {
    const TensorView x = source_.find(a + ".weight"), y = source_.find(b + ".weight");
    if (x.data == y.data) return true;
    if (x.dtype != y.dtype || x.shape != y.shape || x.dtype == DType::f8_e4m3) return false;
    const bool same = std::memcmp(x.data, y.data, std::size_t(x.bytes())) == 0;
    if (same) source_.release(y);
    return same;
  }

  ops::Context& context_;
  const DecoderSpec& spec_;
  const TensorSource& source_;
  const LoadOptions& options_;
  const bool f32_;
  const TensorNames names_;
  LoadReport& report_;
  std::vector<std::string> used_;
  float* next_small_ = nullptr;
  std::int64_t packed_ = 0, matrices_ = 0;
};

bool starts_with_any(std::string_view name, const std::vector<std::string_view>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

void account(const TensorSource& source, const Family& family, const std::set<std::string>& used,
             LoadReport& report) {
  report.used = std::int64_t(used.size());
  for (std::string& name : source.names()) {
    if (used.contains(name)) continue;
    if (starts_with_any(name, family.skipped_prefixes))
      ++report.skipped;
    else
      report.unused.push_back(std::move(name));
  }
}

struct MatrixShape {
  std::int64_t n, k;
};

/// The matrices of one layer as they are packed.
std::vector<MatrixShape> layer_matrices(const DecoderSpec& spec) {
  return {{spec.q_size() + 2 * spec.kv_size(), spec.hidden_size},
          {spec.hidden_size, spec.q_size()},
          {2 * spec.intermediate_size, spec.hidden_size},
          {spec.hidden_size, spec.intermediate_size}};
}

/// Embedding and head, as Loader::load_embedding_and_head decides.
void plan_tables(ModelPlan& plan, const weights::ModelConfig& config, const DecoderSpec& spec,
                 DType plain, HeadDtype head, bool in_host, ops::WeightLayout layout) {
  const bool stored_fp8 = config.text.quantization.lm_head;
  const bool separate = stored_fp8 || !config.text.tie_word_embeddings.value_or(false);
  const bool fp8 =
      stored_fp8 || head == HeadDtype::fp8 || (head == HeadDtype::fp8_if_separate && separate);
  const auto bytes = [&](DType dtype, ScaleLayout scales, ops::WeightLayout as) {
    return ops::packed_bytes(spec.vocab_size, spec.hidden_size, dtype, scales, as);
  };
  plan.parameters += (separate ? 2 : 1) * spec.vocab_size * spec.hidden_size;
  const bool two = separate || fp8;
  if (two)
    plan.weight_bytes += fp8 ? bytes(DType::f8_e4m3, ScaleLayout::per_row, layout)
                             : bytes(plain, ScaleLayout::none, layout);
  const bool gathered = two && layout == ops::WeightLayout::gpu_tile128;
  const std::size_t table =
      bytes(plain, ScaleLayout::none, gathered ? ops::WeightLayout::gpu_rows : layout);
  (two && in_host ? plan.host_bytes : plan.weight_bytes) += table;
}

}  // namespace

std::unique_ptr<Model> load_model(ops::Context& context, const weights::ModelConfig& config,
                                  const TensorSource& source, const LoadOptions& options,
                                  LoadReport& report) {
  const Family& family = find_family(config);
  const DecoderSpec spec = family.spec(config);
  const bool f32 = keeps_f32(config, options);
  Loader loader(context, spec, source, options, f32, report);
  auto model = std::make_unique<Decoder>(family, spec, loader.load(), f32);
  account(source, family, loader.take_used(), report);
  report.weight_bytes = model->weight_bytes();
  report.host_bytes = model->host_bytes();
  return model;
}

ModelPlan plan_model(const weights::ModelConfig& config, const LoadOptions& options, bool gpu) {
  const Family& family = find_family(config);
  const DecoderSpec spec = family.spec(config);
  const weights::QuantizationConfig& quantization = config.text.quantization;
  const bool f32 = keeps_f32(config, options);
  const DType activation = f32 ? DType::f32 : DType::bf16;
  // F32 arithmetic alone widens no weights: they stay as the checkpoint has them.
  const DType plain = config.text.dtype == "float32" ? activation : DType::bf16;
  ModelPlan plan;
  plan.info = model_info(family, spec);
  plan.workspace_bytes = [spec, activation](const StepLimits& limits) {
    return decoder_workspace_bytes(spec, activation, limits);
  };
  plan.parameters = norm_elements(spec);
  plan.weight_bytes = std::size_t(norm_elements(spec) + spec.head_dim / 2) * sizeof(float);
  const auto layout = gpu ? ops::WeightLayout::gpu_tile128 : ops::WeightLayout::cpu_tile16;
  for (const MatrixShape& matrix : layer_matrices(spec)) {
    plan.parameters += spec.num_layers * matrix.n * matrix.k;
    plan.weight_bytes +=
        std::size_t(spec.num_layers) * ops::packed_bytes(matrix.n, matrix.k,
                                                         quantization.fp8 ? DType::f8_e4m3 : plain,
                                                         quantization.weight_scales, layout);
  }
  plan_tables(plan, config, spec, plain, f32 ? HeadDtype::stored : options.head,
              gpu && options.embedding_in_host, layout);
  return plan;
}

}  // namespace isotope::models
