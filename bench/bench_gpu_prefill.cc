// How fast a GPU multiplies in prefill phase: the four layer shapes of Qwen3-8B in FP8 (block
// scales) and BF16.
//
//   bench_gpu_prefill [DEVICE] [TOKENS...]    "cuda" and 64 256 549 2048 8192 by default
//
// A line is one shape and number of tokens: microseconds of the whole operation with the tiling
// that it chose, its TFLOP/s, the microseconds of preparing the inputs alone (of at most 2048
// rows), and TFLOP/s by each tiling. Weights are copied until they exceed the L2 cache, and the
// copies used in turn, as the layers of a model would be. Times are the medians of several runs
// between events.
#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bench/gpu_bench.h"
#include "device/gpu.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_prefill_gpu.h"

namespace {

using namespace isotope;
using ops::gpu::Epilogue;
using ops::gpu::LinearCall;

constexpr std::size_t kBeyondCaches = std::size_t(160) << 20;

struct Layer {
  const char* name;
  std::int64_t n, k;
  Epilogue epilogue;
  bool norm;
};

constexpr Layer kLayers[] = {{"qkv", 6144, 4096, Epilogue::store, true},
                             {"o", 4096, 4096, Epilogue::add, false},
                             {"gate_up", 24576, 4096, Epilogue::swiglu, true},
                             {"down", 4096, 12288, Epilogue::add, false}};

std::vector<ops::LinearWeight> make_weights(ops::Context& context, const Layer& layer,
                                            DType dtype) {
  const bool halves = layer.epilogue == Epilogue::swiglu;
  const std::int64_t n = halves ? layer.n / 2 : layer.n;
  std::vector<std::uint8_t> bytes(std::size_t(n * layer.k) * size_of(dtype));
  std::minstd_rand random(1);
  for (std::uint8_t& byte : bytes) byte = std::uint8_t(random() >> 8) & 0xbf;  // no NaN
  const std::int64_t rows = (n + 127) / 128, columns = (layer.k + 127) / 128;
  const std::vector<float> scales(std::size_t(rows * columns), 0.01f);
  ops::LinearPart part;
  part.tensor.weight = TensorView(dtype, {n, layer.k}, bytes.data());
  if (dtype == DType::f8_e4m3) {
    part.tensor.scale_layout = ScaleLayout::block_128x128;
    part.tensor.scale = TensorView(DType::f32, {rows, columns}, scales.data());
  }
  const std::vector<ops::LinearPart> parts(halves ? 2 : 1, part);
  ops::PackOptions options;
  if (halves) options.row_order = ops::RowOrder::interleaved_halves;
  std::vector<ops::LinearWeight> weights;
  const std::size_t copies = kBeyondCaches / (bytes.size() * parts.size()) + 1;
  for (std::size_t i = 0; i < copies; ++i)
    weights.push_back(ops::pack_linear(context, parts, false, options));
  return weights;
}

/// Median microseconds of work(i).
double median_time(device::Gpu& gpu, const std::function<void(std::size_t)>& work) {
  constexpr int kRuns = 7, kEach = 4;
  std::size_t calls = 0;
  return bench::median_us(gpu, kRuns,
                          [&] {
                            for (int i = 0; i < kEach; ++i) work(calls++);
                          }) /
         kEach;
}

/// A layer with its tensors for up to `tokens` rows.
struct Bench {
  ops::Context& context;
  device::Gpu& gpu;
  const Layer& layer;
  std::vector<ops::LinearWeight> weights;
  device::Buffer x, g, y;
  LinearCall call;

  Bench(ops::Context& context_, device::Gpu& gpu_, const Layer& layer_, DType dtype,
        std::int64_t tokens)
      : context(context_),
        gpu(gpu_),
        layer(layer_),
        weights(make_weights(context_, layer_, dtype)),
        x(gpu_.allocate(std::size_t(tokens * layer_.k) * 4, "inputs")),
        g(gpu_.allocate(std::size_t(layer_.k) * 4, "norm")),
        y(gpu_.allocate(std::size_t(tokens * layer_.n) * 4, "outputs")) {
    bench::fill(gpu, x.data(), x.size(),
                bench::normal_noise(layer.norm ? DType::f32 : DType::bf16, 1));
    bench::fill(gpu, g.data(), g.size(), bench::normal_noise(DType::f32, 1));
    call.x = TensorView(layer.norm ? DType::f32 : DType::bf16, {tokens, layer.k}, x.data());
    call.norm = layer.norm ? g.as<const float>() : nullptr;
    call.norm_eps = 1e-6f;
    call.epilogue = layer.epilogue;
    const bool add = layer.epilogue == Epilogue::add;
    const std::int64_t outputs = layer.epilogue == Epilogue::swiglu ? layer.n / 2 : layer.n;
    call.y = TensorView(add ? DType::f32 : DType::bf16, {tokens, outputs}, y.data());
  }

  void print(std::int64_t tokens) {
    const double flops = 2.0 * double(tokens) * double(layer.n) * double(layer.k);
    const auto with = [&](std::size_t i) -> const LinearCall& {
      call.weight = &weights[i % weights.size()];
      return call;
    };
    const double whole = median_time(
        gpu, [&](std::size_t i) { ops::gpu::linear_prefill(context, with(i), 0, tokens); });
    const double inputs = median_time(
        gpu, [&](std::size_t i) { ops::gpu::linear_prefill_inputs(context, with(i), 0, tokens); });
    fmt::print("{:<9}{:>6}x{:<6}{:<9}{:>6}{:>10.1f}{:>9.0f}{:>9.1f}  ", layer.name, layer.n,
               layer.k, name_of(weights[0].dtype), tokens, whole, flops / whole * 1e-6, inputs);
    const std::vector<std::string> tilings = ops::gpu::prefill_tilings(context, weights[0]);
    for (std::size_t t = 0; t < tilings.size(); ++t) {
      const double time = median_time(gpu, [&](std::size_t i) {
        ops::gpu::linear_prefill_tiled(context, with(i), 0, tokens, int(t));
      });
      fmt::print("  {}: {:.0f}", tilings[t], flops / time * 1e-6);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
};

void run(device::Gpu& gpu, const std::vector<std::int64_t>& tokens) {
  const std::int64_t most = *std::max_element(tokens.begin(), tokens.end());
  ops::Context context(gpu, ops::gpu::linear_scratch(most, 12288), ops::Path::fast, true,
                       ops::gpu::make_kernel_library(gpu));
  fmt::print("{}\n\n{:<9}{:>13}{:<9}{:>6}{:>10}{:>9}{:>9}    TFLOP/s by tiling\n", gpu.name(),
             "layer", "n x k  ", "weights", "rows", "µs", "TFLOP/s", "inputs");
  for (const DType dtype : {DType::f8_e4m3, DType::bf16})
    for (const Layer& layer : kLayers) {
      Bench bench(context, gpu, layer, dtype, most);
      for (const std::int64_t count : tokens) bench.print(count);
    }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_on_gpu(argc > 1 ? argv[1] : "cuda", [&](device::Gpu& gpu) {
    run(gpu, bench::counts_from(argc, argv, 2, {64, 256, 549, 2048, 8192}));
  });
}
