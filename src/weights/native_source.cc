#include "weights/native_source.h"

#include <array>
#include <cstring>
#include <map>
#include <mutex>

#include "base/error.h"

namespace isotope::weights {
namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

/// Modules of a block.
constexpr auto kModules = std::to_array<Renaming>({
    {"attention_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attention.wq", "self_attn.q_proj"},
    {"attention.wk", "self_attn.k_proj"},
    {"attention.wv", "self_attn.v_proj"},
    {"attention.wo", "self_attn.o_proj"},
    {"feed_forward.w1", "mlp.gate_proj"},
    {"feed_forward.w2", "mlp.down_proj"},
    {"feed_forward.w3", "mlp.up_proj"},
});
constexpr auto kParameters = std::to_array<Renaming>({
    {"weight", "weight"},
    {"qscale_weight", "weight_scale_inv"},
    {"qscale_act", "activation_scale"},
});
constexpr auto kTopLevel = std::to_array<Renaming>({
    {"tok_embeddings.weight", "model.embed_tokens.weight"},
    {"norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
});
/// Kept apart from the text model under the prefixes that loaders skip.
constexpr auto kVision = std::to_array<Renaming>({
    {"vision_encoder.", "vision_tower."},
    {"vision_language_adapter.", "multi_modal_projector.vision_language_adapter."},
    {"patch_merger.", "multi_modal_projector.patch_merger."},
    {"pre_mm_projector_norm.", "multi_modal_projector.pre_mm_projector_norm."},
});

/// "layers.7.attention.wq.qscale_act" -> "model.layers.7.self_attn.q_proj.activation_scale"; empty
/// if not of a block.
std::string rename_block_tensor(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return {};
  const std::size_t number_end = name.find('.', kLayers.size());
  const std::size_t module_end = name.rfind('.');
  if (number_end == std::string_view::npos || module_end <= number_end) return {};
  const std::string_view module = name.substr(number_end + 1, module_end - number_end - 1);
  const std::string_view parameter = name.substr(module_end + 1);
  for (const auto& [native_module, hf_module] : kModules)
    for (const auto& [native_parameter, hf_parameter] : kParameters)
      if (module == native_module && parameter == native_parameter)
        return fmt::format("model.{}.{}.{}", name.substr(0, number_end), hf_module, hf_parameter);
  return {};
}

std::string hf_name(std::string_view name) {
  for (const auto& [native, hf] : kTopLevel)
    if (name == native) return std::string(hf);
  for (const auto& [native, hf] : kVision)
    if (name.starts_with(native)) return fmt::format("{}{}", hf, name.substr(native.size()));
  std::string renamed = rename_block_tensor(name);
  return renamed.empty() ? std::string(name) : renamed;
}

class NativeSource final : public TensorSource {
 public:
  NativeSource(std::unique_ptr<TensorSource> native, const TextConfig& text)
      : native_(std::move(native)), text_(text) {
    for (const std::string& name : native_->names()) {
      // Left over from quantization-aware training; no part of the model.
      if (name.find("fake_quantizer") != std::string::npos) continue;
      if (!native_names_.emplace(hf_name(name), name).second)
        fail(ErrorCode::corrupt_data, "{}: '{}' stands there under two names", describe(),
             hf_name(name));
    }
  }

  TensorView find(std::string_view name) const override {
    const auto found = native_names_.find(name);
    if (found == native_names_.end()) return {};
    const std::string& native_name = found->second;
    if (!native_name.starts_with("layers.")) return native_->find(native_name);
    if (native_name.ends_with(".attention.wq.weight"))
      return reordered(native_name, text_.num_heads);
    if (native_name.ends_with(".attention.wk.weight"))
      return reordered(native_name, text_.num_kv_heads);
    return native_->find(native_name);
  }

  bool contains(std::string_view name) const override { return native_names_.contains(name); }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, native_name] : native_names_) names.push_back(name);
    return names;
  }

  void release(const TensorView& tensor) const override {
    const std::lock_guard lock(mutex_);
    const auto is_released = [&](const auto& item) { return item.second.data() == tensor.data; };
    if (std::erase_if(copies_, is_released) == 0) native_->release(tensor);
  }

  std::string describe() const override { return native_->describe(); }

 private:
  /// A copy whose rows stand as Hugging Face orders them.
  TensorView reordered(const std::string& native_name, std::int64_t heads) const {
    const TensorView tensor = native_->find(native_name);
    const std::int64_t dim = text_.head_dim;
    if (tensor.shape.rank() != 2 || tensor.shape[0] != heads * dim)
      fail(ErrorCode::corrupt_data, "{}: '{}' has shape {}; expected {} rows ({} heads of {})",
           describe(), native_name, tensor.shape.to_string(), heads * dim, heads, dim);
    const std::lock_guard lock(mutex_);
    std::vector<std::byte>& copy = copies_[native_name];
    if (copy.empty() && tensor.bytes() > 0) {
      copy.resize(std::size_t(tensor.bytes()));
      const std::size_t row_bytes = copy.size() / std::size_t(tensor.shape[0]);
      const auto* from = static_cast<const std::byte*>(tensor.data);
      for (std::int64_t row = 0; row < heads * dim; ++row) {
        const std::int64_t head = row / dim, pair = row % dim / 2, second = row % 2;
        const std::int64_t target = head * dim + second * (dim / 2) + pair;
        std::memcpy(copy.data() + std::size_t(target) * row_bytes,
                    from + std::size_t(row) * row_bytes, row_bytes);
      }
      native_->release(tensor);
    }
    return TensorView(tensor.dtype, tensor.shape, static_cast<void*>(copy.data()));
  }

  std::unique_ptr<TensorSource> native_;
  TextConfig text_;
  std::map<std::string, std::string, std::less<>>
      native_names_;  ///< Hugging Face name -> native name
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<std::byte>> copies_;
};

}  // namespace

std::unique_ptr<TensorSource> make_native_source(std::unique_ptr<TensorSource> native,
                                                 const TextConfig& text) {
  return std::make_unique<NativeSource>(std::move(native), text);
}

}  // namespace isotope::weights
