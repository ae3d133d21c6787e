#include "ops/attention/attention_tuning.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "base/checked.h"
#include "ops/attention/attention.h"
#include "ops/attention/attention_gpu.h"
#include "ops/gpu/kernel_library.h"
#include "ops/tuning/noise.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t kBlockSize = 16;
/// A launch is the same for all lengths, so contexts this much shorter count as much: as many calls
/// more are timed with them.
constexpr std::int64_t kShorter = 4;
constexpr float kScale = 0.01f;  ///< of FP8 keys and values
/// Rounding of probabilities and outputs to BF16, as shares of the values' magnitude.
constexpr double kTolerance = 0x1p-6;

class AttentionCase final : public TuningCase {
 public:
  AttentionCase(Context& context, const AttentionUse& use, std::int64_t rows)
      : context_(context), use_(use), rows_(rows), width_(ceil_div(use.context_len, kBlockSize)) {}

  std::string name() const override {
    return fmt::format("attention, {} rows decode, context {}", rows_, use_.context_len);
  }
  TuningSpace space() const override {
    return gpu::attention_decode_tuning(context_, queries(), shape_of_layer(), outputs());
  }
  double bytes() const override {
    const double element = double(size_of(use_.kv_dtype)),
                 scale = use_.kv_dtype == DType::bf16 ? 0 : 4;
    return 2.0 * double(rows_ * use_.context_len * use_.kv_heads) *
           (double(use_.head_dim) * element + scale);
  }
  double flops() const override {
    return 4.0 * double(rows_ * use_.context_len * use_.heads * use_.head_dim);
  }

  void prepare() override;
  void release() override {
    cache_ = {};
    buffers_.clear();
    q_ = out_ = nullptr;
  }
  void call() override { queue(0, batch_); }
  std::int64_t call_often() override {
    const std::int64_t calls = calls_beyond_caches(context_, bytes());
    for (std::int64_t i = 0; i < calls; ++i) {
      const std::int64_t layer = i % cache_.shape().num_layers;
      queue(layer, batch_);
      for (std::int64_t j = 0; j < kShorter; ++j) queue(layer, short_batch_);
    }
    return calls * (1 + kShorter);
  }
  std::vector<std::byte> output() override {
    context_.stream().fill(out_, 0xff, output_bytes());
    call();
    std::vector<std::byte> bytes(output_bytes());
    context_.stream().copy_to_host(bytes.data(), out_, bytes.size());
    context_.stream().synchronize();
    return bytes;
  }
  double error(const std::vector<std::byte>& output) const override;
  double difference(const std::vector<std::byte>& a,
                    const std::vector<std::byte>& b) const override {
    return relative_difference(a, b, DType::bf16, kTolerance);
  }

 private:
  TensorView queries() const { return {DType::bf16, {rows_, use_.heads, use_.head_dim}, q_}; }
  TensorView outputs() const { return {DType::bf16, {rows_, use_.heads * use_.head_dim}, out_}; }
  std::size_t output_bytes() const { return std::size_t(rows_ * use_.heads * use_.head_dim) * 2; }
  void queue(std::int64_t layer, const Batch& batch) {
    // While launches are only noted there is no cache and no batch: shapes are enough.
    const bool prepared = cache_.shape().num_layers > 0;
    gpu::attention_gpu(context_, queries(), prepared ? cache_.layer(layer) : shape_of_layer(),
                       kBlockSize, prepared ? batch : shape_of_batch(), outputs());
  }
  KvLayer shape_of_layer() const {
    KvLayer kv;
    kv.k = kv.v =
        TensorView(use_.kv_dtype, {1, use_.kv_heads, use_.head_dim}, static_cast<void*>(nullptr));
    return kv;
  }
  Batch shape_of_batch() const {
    const auto integers = [](const Shape& shape) {
      return TensorView(DType::i32, shape, static_cast<void*>(nullptr));
    };
    Batch batch;
    batch.rows = {rows_, rows_};
    batch.num_seqs = rows_;
    batch.positions = batch.row_seq = batch.context_lens = integers({rows_});
    batch.seq_begin = integers({rows_ + 1});
    batch.block_tables = integers({rows_, width_});
    return batch;
  }
  template <typename T>
  void* keep(const std::vector<T>& values) {
    buffers_.push_back(
        context_.device().allocate(values.size() * sizeof(T), "inputs to tune with"));
    context_.stream().copy_to_device(buffers_.back().data(), values.data(),
                                     values.size() * sizeof(T));
    context_.stream().synchronize();
    return buffers_.back().data();
  }
  Batch make_batch(std::int64_t context_len);
  void fill_cache();
  /// Of row r, KV head and element d, at position p of the first layer.
  double key_or_value(std::int64_t row, std::int64_t p, std::int64_t head, std::int64_t d) const;
  std::vector<double> attend(std::int64_t row, std::int64_t head) const;

  Context& context_;
  AttentionUse use_;
  std::int64_t rows_, width_;
  KvCache cache_;
  std::vector<device::Buffer> buffers_;
  void* q_ = nullptr;
  void* out_ = nullptr;
  Batch batch_, short_batch_;
  std::vector<std::int32_t> tables_;
  std::vector<bfloat16> q_host_;
  std::vector<std::byte> pattern_;  ///< keys and values are it, repeated
};

Batch AttentionCase::make_batch(std::int64_t context_len) {
  const auto size = std::size_t(rows_);
  std::vector<std::int32_t> seqs(size + 1);
  std::iota(seqs.begin(), seqs.end(), 0);
  const std::vector<std::int32_t> positions(size, std::int32_t(context_len - 1)),
      lengths(size, std::int32_t(context_len));
  Batch batch = shape_of_batch();
  batch.positions = TensorView(DType::i32, {rows_}, keep(positions));
  batch.row_seq = TensorView(DType::i32, {rows_}, keep(seqs));
  batch.seq_begin = TensorView(DType::i32, {rows_ + 1}, keep(seqs));
  batch.context_lens = TensorView(DType::i32, {rows_}, keep(lengths));
  batch.block_tables = TensorView(DType::i32, {rows_, width_}, keep(tables_));
  return batch;
}

void AttentionCase::fill_cache() {
  KvCacheShape shape{1, rows_ * width_, kBlockSize, use_.kv_heads, use_.head_dim, use_.kv_dtype};
  shape.num_layers = calls_beyond_caches(context_, bytes());
  cache_ = KvCache(context_.device(), shape);
  // A prime number of elements, so that equal ones do not lie below each other.
  const std::vector<float> values = random_values(131071, 1.0f, 6);
  const std::size_t size = size_of(use_.kv_dtype);
  pattern_.clear();
  for (const float value : values) {
    const bfloat16 half = to_bfloat16(value);
    const float8_e4m3 code = to_float8_e4m3(value / kScale / 8);
    const auto* bytes = size == 2 ? reinterpret_cast<const std::byte*>(&half)
                                  : reinterpret_cast<const std::byte*>(&code);
    pattern_.insert(pattern_.end(), bytes, bytes + size);
  }
  const auto slots = std::size_t(shape.num_blocks * kBlockSize * use_.kv_heads);
  std::vector<std::byte> layer(slots * std::size_t(use_.head_dim) * size);
  for (std::size_t at = 0; at < layer.size(); at += pattern_.size())
    std::copy_n(pattern_.begin(), std::min(pattern_.size(), layer.size() - at),
                layer.begin() + std::ptrdiff_t(at));
  const std::vector<float> scales(slots, kScale);
  for (std::int64_t i = 0; i < shape.num_layers; ++i) {
    const KvLayer& kv = cache_.layer(i);
    for (const TensorView* tensor : {&kv.k, &kv.v})
      context_.stream().copy_to_device(tensor->data, layer.data(), layer.size());
    for (const TensorView* tensor : {&kv.k_scale, &kv.v_scale})
      if (!tensor->empty())
        context_.stream().copy_to_device(tensor->data, scales.data(), slots * sizeof(float));
    context_.stream().synchronize();
  }
}

void AttentionCase::prepare() {
  q_host_.clear();
  for (const float value : random_values(rows_ * use_.heads * use_.head_dim, 0.5f, 4))
    q_host_.push_back(to_bfloat16(value));
  q_ = keep(q_host_);
  out_ = keep(std::vector<std::byte>(output_bytes()));
  tables_.resize(std::size_t(rows_ * width_));
  std::iota(tables_.begin(), tables_.end(), 0);
  std::shuffle(tables_.begin(), tables_.end(), std::mt19937(5));
  batch_ = make_batch(use_.context_len);
  short_batch_ = make_batch(std::max<std::int64_t>(1, use_.context_len / kShorter));
  fill_cache();
}

double AttentionCase::key_or_value(std::int64_t row, std::int64_t p, std::int64_t head,
                                   std::int64_t d) const {
  const std::int64_t slot =
      tables_[std::size_t(row * width_ + p / kBlockSize)] * kBlockSize + p % kBlockSize;
  const std::int64_t element = (slot * use_.kv_heads + head) * use_.head_dim + d;
  const auto count = std::int64_t(pattern_.size() / size_of(use_.kv_dtype));
  const TensorView view(use_.kv_dtype, {count}, const_cast<std::byte*>(pattern_.data()));
  const double value = double(load_float(view, element % count));
  return use_.kv_dtype == DType::bf16 ? value : value * double(kScale);
}

std::vector<double> AttentionCase::attend(std::int64_t row, std::int64_t head) const {
  const std::int64_t kv_head = head / (use_.heads / use_.kv_heads);
  const bfloat16* q = q_host_.data() + (row * use_.heads + head) * use_.head_dim;
  std::vector<double> sums(std::size_t(use_.head_dim)), scores;
  for (std::int64_t p = 0; p < use_.context_len; ++p) {
    double score = 0;
    for (std::int64_t d = 0; d < use_.head_dim; ++d)
      score += double(to_float(q[d])) * key_or_value(row, p, kv_head, d);
    scores.push_back(score / std::sqrt(double(use_.head_dim)));
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (std::int64_t p = 0; p < use_.context_len; ++p) {
    const double weight = std::exp(scores[std::size_t(p)] - top);
    total += weight;
    for (std::int64_t d = 0; d < use_.head_dim; ++d)
      sums[std::size_t(d)] += weight * key_or_value(row, p, kv_head, d);
  }
  for (double& sum : sums) sum /= total;
  return sums;
}

double AttentionCase::error(const std::vector<std::byte>& output) const {
  const TensorView out(DType::bf16, {rows_ * use_.heads * use_.head_dim},
                       const_cast<std::byte*>(output.data()));
  double worst = 0;
  for (const std::int64_t row : spread_out(rows_, 2))
    for (const std::int64_t head : spread_out(use_.heads, 2)) {
      const std::vector<double> expected = attend(row, head);
      double magnitude = 0;
      for (const double value : expected) magnitude += std::fabs(value) / double(use_.head_dim);
      for (std::int64_t d = 0; d < use_.head_dim; ++d) {
        const double value = double(load_float(out, (row * use_.heads + head) * use_.head_dim + d));
        const double off = std::fabs(value - expected[std::size_t(d)]) /
                           (kTolerance * (std::fabs(expected[std::size_t(d)]) + magnitude));
        if (std::isnan(off)) return std::numeric_limits<double>::infinity();
        worst = std::max(worst, off);
      }
    }
  return worst;
}

}  // namespace

TuningCases attention_tuning_cases(Context& context, const AttentionUse& use,
                                   const TuningRows& rows) {
  // All contexts together; more would say nothing new.
  constexpr std::int64_t kMostTokens = 128 * 1024;
  TuningCases cases;
  for (const std::int64_t count : rows.decode) {
    AttentionUse sized = use;
    sized.context_len = std::max<std::int64_t>(1, std::min(use.context_len, kMostTokens / count));
    auto made = std::make_unique<AttentionCase>(context, sized, count);
    if (made->space().candidates.size() > 1) cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace isotope::ops
