// How fast a GPU streams weights in decode phase, against what it can read.
//
//   bench_gpu_linear [DEVICE] [ROWS...]    "cuda" and 1 2 4 8 16 32 64 128 by default
//
// First the bandwidth of a plain read; then for each shape and number of rows the microseconds of a
// product, GB/s of its weights and the share of that bandwidth; last the products of a whole
// Qwen3-8B step (36 layers in FP8, head in FP8), as they follow each other in a model. Everything
// runs from a captured graph, over copies of the weights that together exceed the L2 cache. Times
// are the medians of several runs between events.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/checked.h"
#include "bench/gpu_bench.h"
#include "device/gpu.h"
#include "ops/bandwidth/bandwidth.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_gpu.h"

namespace {

using namespace isotope;
using bench::normal_noise;
using ops::LinearWeight;
using ops::gpu::Epilogue;
using ops::gpu::LinearCall;

constexpr std::size_t kBeyondCaches = std::size_t(400) << 20;

struct Product {
  const char* name;
  std::int64_t n, k;
  Epilogue epilogue;
  bool norm;
  DType dtype;
  ScaleLayout scales;
};

constexpr ScaleLayout kBlock = ScaleLayout::block_128x128, kRow = ScaleLayout::per_row,
                      kNone = ScaleLayout::none;
constexpr Product kLayer[] = {
    {"qwen3-8b qkv", 6144, 4096, Epilogue::store, true, DType::f8_e4m3, kBlock},
    {"qwen3-8b o", 4096, 4096, Epilogue::add, false, DType::f8_e4m3, kBlock},
    {"qwen3-8b gate_up", 24576, 4096, Epilogue::swiglu, true, DType::f8_e4m3, kBlock},
    {"qwen3-8b down", 4096, 12288, Epilogue::add, false, DType::f8_e4m3, kBlock},
};
constexpr Product kHead = {"qwen3-8b head", 151936, 4096, Epilogue::store, true,
                           DType::f8_e4m3,  kRow};
constexpr Product kOthers[] = {
    kHead,
    {"qwen3-8b head bf16", 151936, 4096, Epilogue::store, true, DType::bf16, kNone},
    {"ministral3-8b gate_up", 28672, 4096, Epilogue::swiglu, true, DType::f8_e4m3, kRow},
    {"ministral3-8b down", 4096, 14336, Epilogue::add, false, DType::f8_e4m3, kRow},
    {"ministral3-3b qkv", 6144, 3072, Epilogue::store, true, DType::bf16, kNone},
    {"ministral3-3b o", 3072, 4096, Epilogue::add, false, DType::bf16, kNone},
    {"ministral3-3b gate_up", 18432, 3072, Epilogue::swiglu, true, DType::bf16, kNone},
    {"ministral3-3b down", 3072, 9216, Epilogue::add, false, DType::bf16, kNone},
    {"qwen3-0.6b gate_up", 6144, 1024, Epilogue::swiglu, true, DType::f8_e4m3, kBlock},
    {"qwen3-0.6b down", 1024, 3072, Epilogue::add, false, DType::f8_e4m3, kBlock},
};

void fill(device::Gpu& gpu, const device::Buffer& buffer, const std::vector<std::byte>& pattern) {
  bench::fill(gpu, buffer.data(), buffer.size(), pattern);
}

LinearWeight make_weight(device::Gpu& gpu, const Product& shape,
                         const std::vector<std::byte>& pattern) {
  LinearWeight weight;
  const auto size = std::int64_t(size_of(shape.dtype));
  weight.n = shape.n;
  weight.k = shape.k;
  weight.padded_n = round_up<std::int64_t>(shape.n, 128);
  weight.padded_k = round_up<std::int64_t>(shape.k, 128 / size);
  weight.dtype = shape.dtype;
  weight.layout = ops::WeightLayout::gpu_tile128;
  weight.scale_layout = shape.scales;
  if (shape.epilogue == Epilogue::swiglu) weight.row_order = ops::RowOrder::interleaved_halves;
  weight.data = gpu.allocate(std::size_t(weight.padded_n * weight.padded_k * size), "weights");
  fill(gpu, weight.data, pattern);
  if (shape.scales != kNone) {
    const std::int64_t count = shape.scales == kBlock
                                   ? weight.padded_n / 8 * ceil_div<std::int64_t>(shape.k, 128)
                                   : weight.padded_n;
    weight.scales = gpu.allocate(std::size_t(count) * 4, "scales");
    fill(gpu, weight.scales, normal_noise(DType::f32, 0.01f));
  }
  return weight;
}

struct Bench {
  device::Gpu& gpu;
  ops::Context& context;
  double ceiling;
  std::vector<std::byte> fp8 = normal_noise(DType::f8_e4m3, 1.0f),
                         bf16 = normal_noise(DType::bf16, 0.02f),
                         f32 = normal_noise(DType::f32, 1.0f);

  device::Buffer tensor(std::int64_t elements, DType dtype) {
    device::Buffer buffer = gpu.allocate(std::size_t(elements) * size_of(dtype), "activations");
    fill(gpu, buffer, dtype == DType::f32 ? f32 : bf16);
    return buffer;
  }
  std::vector<LinearWeight> copies(const Product& shape, std::size_t count) {
    std::vector<LinearWeight> weights;
    for (std::size_t i = 0; i < count; ++i)
      weights.push_back(make_weight(gpu, shape, shape.dtype == DType::bf16 ? bf16 : fp8));
    return weights;
  }

  void print(const std::string& name, std::int64_t rows, double us, std::size_t bytes) {
    const double rate = double(bytes) / us / 1e3;
    fmt::print("{:<24} rows {:>3} {:>9.2f} us {:>8.1f} GB/s {:>6.1f} % of the read bandwidth\n",
               name, rows, us, rate, 100.0 * rate / ceiling);
    std::fflush(stdout);
  }

  LinearCall call(const Product& shape, const LinearWeight& weight, const TensorView& x,
                  const device::Buffer& g, const TensorView& y) {
    LinearCall result;
    result.x = x;
    result.norm = shape.norm ? g.as<const float>() : nullptr;
    result.norm_eps = 1e-6f;
    result.weight = &weight;
    result.epilogue = shape.epilogue;
    result.y = y;
    return result;
  }

  void run_shape(const Product& shape, const std::vector<std::int64_t>& all_rows) {
    const std::size_t bytes = std::size_t(shape.n * shape.k) * size_of(shape.dtype);
    const std::vector<LinearWeight> weights =
        copies(shape, std::max<std::size_t>(2, kBeyondCaches / bytes + 1));
    const std::int64_t most = *std::max_element(all_rows.begin(), all_rows.end());
    const DType x_dtype = shape.norm ? DType::f32 : DType::bf16;
    const DType y_dtype = shape.epilogue == Epilogue::add ? DType::f32 : DType::bf16;
    const std::int64_t outputs = shape.epilogue == Epilogue::swiglu ? shape.n / 2 : shape.n;
    const device::Buffer x = tensor(most * shape.k, x_dtype), y = tensor(most * outputs, y_dtype),
                         g = tensor(shape.k, DType::f32);
    for (const std::int64_t rows : all_rows) {
      const TensorView in(x_dtype, {rows, shape.k}, x.data()),
          out(y_dtype, {rows, outputs}, y.data());
      const double us = bench::median_us_of_graph(gpu, 9, [&] {
        for (const LinearWeight& weight : weights)
          ops::gpu::linear_decode(context, call(shape, weight, in, g, out), 0, rows);
      });
      print(shape.name, rows, us / double(weights.size()), weights[0].bytes());
    }
  }

  /// All products of a step of Qwen3-8B, without what lies between them.
  void run_step(const std::vector<std::int64_t>& all_rows) {
    constexpr std::size_t kLayers = 36;
    std::vector<std::vector<LinearWeight>> layers;
    std::size_t bytes = 0;
    for (const Product& shape : kLayer) layers.push_back(copies(shape, kLayers));
    const std::vector<LinearWeight> head = copies(kHead, 1);
    for (const auto& weights : layers) bytes += kLayers * weights[0].bytes();
    bytes += head[0].bytes();
    const std::int64_t most = *std::max_element(all_rows.begin(), all_rows.end());
    const device::Buffer x = tensor(most * 4096, DType::f32), g = tensor(4096, DType::f32),
                         qkv = tensor(most * 6144, DType::bf16),
                         inner = tensor(most * 12288, DType::bf16),
                         logits = tensor(most * kHead.n, DType::f32);
    for (const std::int64_t rows : all_rows) {
      const TensorView residual(DType::f32, {rows, 4096}, x.data()),
          projected(DType::bf16, {rows, 6144}, qkv.data()),
          gated(DType::bf16, {rows, 12288}, inner.data()),
          out(DType::f32, {rows, kHead.n}, logits.data());
      TensorView heads(DType::bf16, {rows, 4096}, qkv.data());
      heads.row_stride = 6144;
      const auto decode = [&](const Product& shape, const LinearWeight& weight,
                              const TensorView& in, const TensorView& to) {
        ops::gpu::linear_decode(context, call(shape, weight, in, g, to), 0, rows);
      };
      const double us = bench::median_us_of_graph(gpu, 9, [&] {
        for (std::size_t i = 0; i < kLayers; ++i) {
          decode(kLayer[0], layers[0][i], residual, projected);
          decode(kLayer[1], layers[1][i], heads, residual);
          decode(kLayer[2], layers[2][i], residual, gated);
          decode(kLayer[3], layers[3][i], gated, residual);
        }
        decode(kHead, head[0], residual, out);
      });
      print("qwen3-8b step", rows, us, bytes);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_on_gpu(argc > 1 ? argv[1] : "cuda", [&](device::Gpu& gpu) {
    const auto rows = bench::counts_from(argc, argv, 2, {1, 2, 4, 8, 16, 32, 64, 128});
    ops::Context context(gpu, ops::gpu::linear_decode_scratch(128, 16384) + (1 << 20));
    const double ceiling = ops::read_bandwidth(context) / 1e9;  // GB/s
    fmt::print("{}: {:.1f} GB/s read\n", gpu.name(), ceiling);
    Bench bench{gpu, context, ceiling};
    bench.run_step(rows);
    for (const Product& shape : kLayer) bench.run_shape(shape, rows);
    for (const Product& shape : kOthers) bench.run_shape(shape, rows);
  });
}
