// How fast attention runs on a GPU, for the heads of Qwen3-8B (32 query heads, 8 KV heads, 128
// elements).
//
//   bench_gpu_attention [DEVICE] [decode|prefill] [LENGTHS...]    "cuda", both and some usual
//   lengths by default
//
// Decode: a line is a number of rows that all have one context; microseconds of one layer, from a
// captured graph of many layers whose K and V together exceed the L2 cache, and GB/s of live K and
// V with their scales, each counted once. Prefill: microseconds of one layer over a prompt, or a
// chunk behind a context, and TFLOP/s counting what the causal mask leaves. Blocks are scattered
// over the cache. Times are medians of several runs between events.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/gpu_bench.h"
#include "device/gpu.h"
#include "ops/attention/attention.h"
#include "ops/gpu/kernel_library.h"
#include "ops/testing/paged_batch.h"

namespace {

using namespace isotope;
using ops::testing::Chunk;
using ops::testing::PagedBatch;

constexpr std::int64_t kHeads = 32, kKvHeads = 8, kDim = 128, kBlockSize = 16;
constexpr std::size_t kBeyondCaches = std::size_t(256) << 20;

void fill(device::Gpu& gpu, const TensorView& tensor) {
  static const std::vector<std::byte> noise = bench::code_noise();
  bench::fill(gpu, tensor.data, std::size_t(tensor.bytes()), noise);
}

void fill_scales(device::Gpu& gpu, const TensorView& tensor) {
  if (tensor.empty()) return;
  const std::vector<float> scales(std::size_t(tensor.shape.elements()), 0.01f);
  gpu.stream().copy_to_device(tensor.data, scales.data(), scales.size() * sizeof(float));
  gpu.stream().synchronize();
}

/// A batch with its cache, queries and outputs on the card.
class Bench {
 public:
  Bench(device::Gpu& gpu, ops::Context& context, const std::vector<Chunk>& chunks, bool decode,
        DType kv_dtype)
      : gpu_(gpu), context_(context), paged_(chunks, kBlockSize, 1) {
    paged_.batch.rows.decode = decode ? paged_.batch.rows.total : 0;
    ops::KvCacheShape shape{.num_layers = 1,
                            .num_blocks = paged_.num_blocks,
                            .block_size = kBlockSize,
                            .num_kv_heads = kKvHeads,
                            .head_dim = kDim,
                            .dtype = kv_dtype};
    shape.num_layers = std::clamp<std::int64_t>(
        std::int64_t(kBeyondCaches / (shape.bytes_per_block() * std::size_t(shape.num_blocks))) + 1,
        1, 72);
    cache_ = ops::KvCache(gpu, shape);
    for (std::int64_t i = 0; i < shape.num_layers; ++i) {
      const ops::KvLayer& layer = cache_.layer(i);
      fill(gpu, layer.k);
      fill(gpu, layer.v);
      fill_scales(gpu, layer.k_scale);
      fill_scales(gpu, layer.v_scale);
    }
    const std::int64_t rows = paged_.batch.rows.total;
    q_ = move(TensorView(DType::bf16, Shape{rows, kHeads, kDim}, static_cast<void*>(nullptr)));
    fill(gpu, q_);
    out_ = move(TensorView(DType::bf16, Shape{rows, kHeads * kDim}, static_cast<void*>(nullptr)));
    batch_ = paged_.batch;
    for (TensorView* tensor : {&batch_.token_ids, &batch_.positions, &batch_.slots, &batch_.row_seq,
                               &batch_.seq_begin, &batch_.context_lens, &batch_.block_tables})
      *tensor = move(*tensor);
    const TensorView& k = cache_.layer(0).k;
    for (const std::int32_t length : paged_.context_lens)
      live_bytes_ +=
          2.0 * double(length) * double(kKvHeads) *
          double(kDim * std::int64_t(size_of(k.dtype)) + (kv_dtype == DType::bf16 ? 0 : 4));
    for (const std::int32_t position : paged_.positions)
      flops_ += 4.0 * double(kHeads * kDim) * (position + 1);
  }

  /// Median microseconds of one layer.
  double microseconds() {
    return bench::median_us_of_graph(gpu_, 10, [&] { all_layers(); }) /
           double(cache_.shape().num_layers);
  }
  double live_bytes() const { return live_bytes_; }
  double flops() const { return flops_; }

 private:
  void all_layers() {
    for (std::int64_t i = 0; i < cache_.shape().num_layers; ++i)
      ops::attention(context_, q_, cache_.layer(i), kBlockSize, batch_, out_);
  }
  /// The tensor on the card, with its contents if it has any.
  TensorView move(TensorView host) {
    buffers_.push_back(gpu_.allocate(std::size_t(host.bytes()), "a tensor of the benchmark"));
    if (host.data)
      gpu_.stream().copy_to_device(buffers_.back().data(), host.data, std::size_t(host.bytes()));
    gpu_.stream().synchronize();
    host.data = buffers_.back().data();
    return host;
  }

  device::Gpu& gpu_;
  ops::Context& context_;
  PagedBatch paged_;
  ops::KvCache cache_;
  std::vector<device::Buffer> buffers_;
  ops::Batch batch_;
  TensorView q_, out_;
  double live_bytes_ = 0, flops_ = 0;
};

using Lengths = std::vector<std::int64_t>;

void bench_decode(device::Gpu& gpu, ops::Context& context, const Lengths& lengths) {
  fmt::print("decode    rows  context       us     GB/s\n");
  for (const DType dtype : {DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t rows : {1, 8, 32, 128}) {
      for (const std::int64_t length : lengths) {
        const double bytes = double(rows * length * kKvHeads * kDim * 2) * double(size_of(dtype));
        if (1.2 * bytes > double(gpu.memory().total)) continue;
        Bench bench(gpu, context, std::vector<Chunk>(std::size_t(rows), Chunk{length - 1, 1}), true,
                    dtype);
        const double time = bench.microseconds();
        fmt::print("{:8} {:5} {:8} {:8.2f} {:8.0f}\n", name_of(dtype), rows, length, time,
                   bench.live_bytes() / time * 1e-3);
      }
    }
  }
}

void bench_prefill(device::Gpu& gpu, ops::Context& context, const Lengths& lengths) {
  std::vector<Chunk> chunks;
  for (const std::int64_t length : lengths) chunks.push_back({0, length});
  if (lengths.size() > 1) chunks.push_back({38000, 2048});
  fmt::print("prefill  behind   tokens       us  TFLOP/s\n");
  for (const DType dtype : {DType::bf16, DType::f8_e4m3}) {
    for (const Chunk& chunk : chunks) {
      Bench bench(gpu, context, {chunk}, false, dtype);
      const double time = bench.microseconds();
      fmt::print("{:8} {:6} {:8} {:8.1f} {:8.1f}\n", name_of(dtype), chunk.first, chunk.rows, time,
                 bench.flops() / time * 1e-6);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_on_gpu(argc > 1 ? argv[1] : "cuda", [&](device::Gpu& gpu) {
    const std::string what = argc > 2 ? argv[2] : "";
    ops::Context context(gpu, ops::attention_scratch(128, kHeads, kDim, 40960, true));
    fmt::print("{}\n", gpu.name());
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (what != "prefill")
      bench_decode(gpu, context, bench::counts_from(argc, argv, 3, {549, 4096, 40000}));
    if (what != "decode")
      bench_prefill(gpu, context, bench::counts_from(argc, argv, 3, {549, 2048, 8192}));
  });
}
