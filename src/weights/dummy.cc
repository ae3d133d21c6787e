#include "weights/dummy.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <tuple>

#include "base/checked.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace isotope::weights {
namespace {

/// How a tensor's values are drawn.
enum class Fill { weight, norm, bias, scale, activation_scale };

struct DummyTensor {
  DType dtype;
  Shape shape;
  Fill fill;
  std::int64_t inner;  ///< input features of the linear layer: weights have variance 1/inner
};

/// splitmix64: small, fast, and the same everywhere, unlike the standard library's distributions.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Mean 0, variance 1, bell-shaped: the sum of four uniform numbers of 16 bits.
  float normal() {
    const std::uint64_t z = bits();
    const std::uint64_t sum =
        (z & 0xffff) + ((z >> 16) & 0xffff) + ((z >> 32) & 0xffff) + (z >> 48);
    return (float(sum) * 0x1p-16f - 2.0f) * 1.7320508f;
  }

 private:
  std::uint64_t state_;
};

std::uint64_t hash_name(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u ^ seed;  // FNV-1a
  for (const char c : name) hash = (hash ^ std::uint8_t(c)) * 0x100000001b3u;
  return hash;
}

/// Drawing billions of numbers would take minutes, so a tensor repeats one random tile. Its length
/// is prime: no row length divides it, and neighbouring rows differ.
constexpr std::int64_t kTile = 65521;

template <typename T, typename Convert>
void fill_tiled(T* out, std::int64_t count, Random& random, ThreadPool& pool, Convert convert) {
  const std::int64_t tile = std::min(kTile, count);
  for (std::int64_t i = 0; i < tile; ++i) out[i] = convert(random.normal());
  pool.parallel_for(ceil_div(count, tile) - 1, [&](std::int64_t task, int) {
    const std::int64_t done = (task + 1) * tile;
    std::memcpy(out + done, out, std::size_t(std::min(tile, count - done)) * sizeof(T));
  });
}

void fill_values(const DummyTensor& tensor, std::int64_t count, std::byte* data, Random random,
                 ThreadPool& pool) {
  const float deviation = 1.0f / std::sqrt(float(tensor.inner));
  if (tensor.dtype == DType::f8_e4m3) {
    // Codes have deviation 1; the scale brings them to 1/inner.
    fill_tiled(reinterpret_cast<float8_e4m3*>(data), count, random, pool, to_float8_e4m3);
    return;
  }
  ISOTOPE_ASSERT(tensor.dtype == DType::bf16);
  fill_tiled(reinterpret_cast<bfloat16*>(data), count, random, pool, [&](float normal) {
    switch (tensor.fill) {
      case Fill::weight:
        return to_bfloat16(normal * deviation);
      case Fill::norm:
        return to_bfloat16(1.0f + 0.05f * normal);
      case Fill::bias:
        return to_bfloat16(0.02f * normal);
      case Fill::scale:
        return to_bfloat16(deviation * (1.0f + 0.1f * normal));
      // Normalised activations seldom exceed 8; 448 is FP8's largest number.
      case Fill::activation_scale:
        return to_bfloat16(8.0f / 448.0f);
    }
    assertion_failed("known fill", __FILE__, __LINE__);
  });
}

/// Every tensor of the text model, by its name in the release.
class DummyTensors {
 public:
  explicit DummyTensors(const ModelConfig& config)
      : text_(config.text), prefix_(config.has_vision ? "language_model." : "") {
    add_matrix("model.embed_tokens", text_.vocab_size, text_.hidden_size, false);
    for (std::int64_t layer = 0; layer < text_.num_layers; ++layer)
      add_layer(fmt::format("model.layers.{}.", layer));
    add_norm("model.norm", text_.hidden_size);
    add_head();
  }

  std::map<std::string, DummyTensor, std::less<>> take() { return std::move(tensors_); }

 private:
  void add(std::string_view name, DummyTensor tensor) {
    tensors_.emplace(fmt::format("{}{}", prefix_, name), tensor);
  }

  void add_norm(std::string_view module, std::int64_t size) {
    add(fmt::format("{}.weight", module), {DType::bf16, {size}, Fill::norm, 1});
  }

  void add_matrix(std::string_view module, std::int64_t n, std::int64_t k, bool fp8) {
    add(fmt::format("{}.weight", module),
        {fp8 ? DType::f8_e4m3 : DType::bf16, {n, k}, Fill::weight, k});
  }

  /// The scale's name and shape are those of the releases in that layout.
  void add_scale(std::string_view module, std::int64_t n, std::int64_t k, ScaleLayout layout) {
    const bool compressed_tensors = text_.quantization.weight_scales == ScaleLayout::per_row;
    Shape shape;
    if (layout == ScaleLayout::per_row) shape = {n, 1};
    if (layout == ScaleLayout::block_128x128)
      shape = {ceil_div<std::int64_t>(n, 128), ceil_div<std::int64_t>(k, 128)};
    add(fmt::format("{}.{}", module, compressed_tensors ? "weight_scale" : "weight_scale_inv"),
        {DType::bf16, shape, Fill::scale, k});
  }

  void add_linear(const std::string& module, std::int64_t n, std::int64_t k, bool bias) {
    const QuantizationConfig& quantization = text_.quantization;
    add_matrix(module, n, k, quantization.fp8);
    if (quantization.fp8) {
      add_scale(module, n, k, quantization.weight_scales);
      if (quantization.static_activations)
        add(fmt::format("{}.activation_scale", module),
            {DType::bf16, {}, Fill::activation_scale, k});
    }
    if (bias) add(fmt::format("{}.bias", module), {DType::bf16, {n}, Fill::bias, k});
  }

  void add_layer(const std::string& layer) {
    const std::int64_t hidden = text_.hidden_size, inner = text_.intermediate_size;
    const std::int64_t q = text_.num_heads * text_.head_dim,
                       kv = text_.num_kv_heads * text_.head_dim;
    add_norm(layer + "input_layernorm", hidden);
    add_linear(layer + "self_attn.q_proj", q, hidden, text_.attention_bias);
    add_linear(layer + "self_attn.k_proj", kv, hidden, text_.attention_bias);
    add_linear(layer + "self_attn.v_proj", kv, hidden, text_.attention_bias);
    add_linear(layer + "self_attn.o_proj", hidden, q, text_.attention_bias);
    if (text_.model_type == "qwen3") {
      add_norm(layer + "self_attn.q_norm", text_.head_dim);
      add_norm(layer + "self_attn.k_norm", text_.head_dim);
    }
    add_norm(layer + "post_attention_layernorm", hidden);
    add_linear(layer + "mlp.gate_proj", inner, hidden, text_.mlp_bias);
    add_linear(layer + "mlp.up_proj", inner, hidden, text_.mlp_bias);
    add_linear(layer + "mlp.down_proj", hidden, inner, text_.mlp_bias);
  }

  /// A tied model has no head of its own, except in the Qwen3 releases (and where quantization made
  /// one).
  void add_head() {
    const bool tied = text_.tie_word_embeddings.value_or(false);
    const bool fp8 = text_.quantization.lm_head;
    if (tied && text_.model_type != "qwen3" && !fp8) return;
    add_matrix("lm_head", text_.vocab_size, text_.hidden_size, fp8);
    if (fp8) add_scale("lm_head", text_.vocab_size, text_.hidden_size, ScaleLayout::per_row);
  }

  const TextConfig& text_;
  std::string_view prefix_;
  std::map<std::string, DummyTensor, std::less<>> tensors_;
};

using TensorMap = std::map<std::string, DummyTensor, std::less<>>;

/// Host memory in whole pages, zeroed, which takes room where it is written to.
class Pages {
 public:
  Pages() = default;
  Pages(std::size_t bytes, std::string_view what) : bytes_(std::max<std::size_t>(bytes, 1)) {
    void* data = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
      fail(ErrorCode::out_of_memory, "no memory for {} ({} bytes): {}", what, bytes,
           std::strerror(errno));
    ::madvise(data, bytes_, MADV_HUGEPAGE);
    data_ = static_cast<std::byte*>(data);
  }
  ~Pages() {
    if (data_) ::munmap(data_, bytes_);
  }
  Pages(Pages&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Large tensors of a kind are windows into one buffer of repeated tiles, each beginning at another
/// place, so that billions of weights cost the memory and time of the largest matrix. Small ones
/// are made one by one.
class DummySource final : public TensorSource {
 public:
  DummySource(const ModelConfig& config, std::uint64_t seed)
      : tensors_(DummyTensors(config).take()),
        seed_(seed),
        description_(fmt::format("random weights for {}", config.path.string())) {
    std::int64_t number = 0;
    for (const auto& [name, tensor] : tensors_) {
      places_[name] = number++;
      if (is_window(tensor)) {
        std::int64_t& largest = largest_[kind_of(tensor)];
        largest = std::max(largest, tensor.shape.elements());
      }
    }
    if (config.text.tie_word_embeddings.value_or(false)) tie_head();
  }

  TensorView find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return {};
    const DummyTensor& tensor = found->second;
    const std::lock_guard lock(mutex_);
    if (!is_window(tensor))
      return TensorView(tensor.dtype, tensor.shape,
                        static_cast<void*>(small(found->first, tensor)));
    const std::int64_t step = 64;  // elements: aligned, and another place for every tensor
    const std::int64_t begin = places_.at(found->first) * step % (kTile / step * step);
    return TensorView(
        tensor.dtype, tensor.shape,
        static_cast<void*>(windows(tensor) + std::size_t(begin) * size_of(tensor.dtype)));
  }

  bool contains(std::string_view name) const override { return tensors_.contains(name); }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.push_back(name);
    return names;
  }

  void release(const TensorView& tensor) const override {
    const std::lock_guard lock(mutex_);
    std::erase_if(small_, [&](const auto& item) { return item.second.data() == tensor.data; });
  }

  std::string describe() const override { return description_; }

 private:
  using Kind = std::tuple<DType, Fill, std::int64_t>;
  static Kind kind_of(const DummyTensor& tensor) {
    // FP8 codes are the same for every width: their scale carries it.
    return {tensor.dtype, tensor.fill, tensor.dtype == DType::f8_e4m3 ? 0 : tensor.inner};
  }
  static bool is_window(const DummyTensor& tensor) {
    return tensor.fill == Fill::weight && tensor.shape.elements() > 2 * kTile;
  }

  /// A tied head that is in the checkpoint all the same equals the embedding.
  void tie_head() {
    for (const auto& [name, tensor] : tensors_)
      if (name.ends_with("lm_head.weight") && tensor.dtype == DType::bf16)
        places_[name] = places_[name.substr(0, name.size() - 14) + "model.embed_tokens.weight"];
  }

  std::byte* small(const std::string& name, const DummyTensor& tensor) const {
    Pages& pages = small_[name];
    if (!pages.data()) {
      const std::int64_t count = tensor.shape.elements();
      pages = Pages(std::size_t(count) * size_of(tensor.dtype), name);
      ThreadPool one(1);
      fill_values(tensor, count, pages.data(), Random(hash_name(seed_, random_name(name))), one);
    }
    return pages.data();
  }

  /// Tensors at the same place have the same values: the first name stands for both.
  const std::string& random_name(const std::string& name) const {
    for (const auto& [other, place] : places_)
      if (place == places_.at(name)) return other;
    return name;
  }

  std::byte* windows(const DummyTensor& tensor) const {
    const Kind kind = kind_of(tensor);
    Pages& pages = windows_[kind];
    if (!pages.data()) {
      const std::int64_t count = largest_.at(kind) + kTile;
      pages = Pages(std::size_t(count) * size_of(tensor.dtype), description_);
      ThreadPool all;
      const std::string name = fmt::format("windows of width {}", std::get<2>(kind));
      fill_values(tensor, count, pages.data(), Random(hash_name(seed_, name)), all);
    }
    return pages.data();
  }

  TensorMap tensors_;
  std::uint64_t seed_;
  std::string description_;
  std::map<std::string, std::int64_t, std::less<>> places_;
  std::map<Kind, std::int64_t> largest_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Pages, std::less<>> small_;  ///< what has been asked for
  mutable std::map<Kind, Pages> windows_;
};

/// Zeros, of which nothing becomes resident, and scales of one, as they must be positive.
class ShapeSource final : public TensorSource {
 public:
  explicit ShapeSource(const ModelConfig& config)
      : tensors_(DummyTensors(config).take()),
        description_(fmt::format("the shapes of {}", config.path.string())) {
    std::size_t largest = 0, scales = 0;
    for (const auto& [name, tensor] : tensors_) {
      const auto bytes = std::size_t(tensor.shape.elements()) * size_of(tensor.dtype);
      largest = std::max(largest, bytes);
      if (is_scale(tensor)) scales = std::max(scales, bytes);
    }
    zeros_ = Pages(largest, description_);
    ones_ = Pages(scales, description_);
    std::fill_n(reinterpret_cast<bfloat16*>(ones_.data()), scales / sizeof(bfloat16),
                to_bfloat16(1.0f));
    head_ = Pages(largest, description_);
    // An untied head must not be taken for a copy of the embedding.
    if (!config.text.tie_word_embeddings.value_or(false)) *head_.data() = std::byte(1);
  }

  TensorView find(std::string_view name) const override {
    const auto tensor = tensors_.find(name);
    if (tensor == tensors_.end()) return {};
    const Pages& pages = is_scale(tensor->second)           ? ones_
                         : name.ends_with("lm_head.weight") ? head_
                                                            : zeros_;
    return TensorView(tensor->second.dtype, tensor->second.shape, static_cast<void*>(pages.data()));
  }
  bool contains(std::string_view name) const override { return tensors_.contains(name); }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.push_back(name);
    return names;
  }
  void release(const TensorView&) const override {}
  std::string describe() const override { return description_; }

 private:
  static bool is_scale(const DummyTensor& tensor) {
    return tensor.fill == Fill::scale || tensor.fill == Fill::activation_scale;
  }

  TensorMap tensors_;
  std::string description_;
  Pages zeros_, head_, ones_;
};

}  // namespace

std::unique_ptr<TensorSource> make_dummy_source(const ModelConfig& config, std::uint64_t seed) {
  return std::make_unique<DummySource>(config, seed);
}

std::unique_ptr<TensorSource> make_shape_source(const ModelConfig& config) {
  return std::make_unique<ShapeSource>(config);
}

}  // namespace isotope::weights
