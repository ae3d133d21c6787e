// How fast the linear layers run, against the memory bandwidth and the multiply rate of this
// machine, both measured in the same run.
//
//   bench_linear [THREADS] [SECONDS]    all CPUs, and about 0.2 seconds a line, by default
//
// Bytes count each weight and scale once. The weights of a line are copied until they exceed the
// caches, and the copies are used in turn, as the layers of a model would be.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "bench/multiply_peak.h"
#include "device/cpu/cpu_device.h"
#include "ops/bandwidth/bandwidth.h"
#include "ops/linear/linear_weight.h"

namespace {

using namespace isotope;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBeyondCaches = std::size_t(1) << 30;

struct Layer {
  const char* name;
  std::int64_t n, k;
  DType dtype;
};

// Qwen3-0.6B, then the feed-forward layer of Qwen3-8B.
constexpr Layer kLayers[] = {
    {"qkv 0.6B", 4096, 1024, DType::f8_e4m3},     {"o 0.6B", 1024, 2048, DType::f8_e4m3},
    {"gate_up 0.6B", 6144, 1024, DType::f8_e4m3}, {"down 0.6B", 1024, 3072, DType::f8_e4m3},
    {"lm_head 0.6B", 151936, 1024, DType::bf16},  {"gate_up 8B", 24576, 4096, DType::f8_e4m3},
};
constexpr std::int64_t kDecodeRows[] = {1, 2, 4, 8, 16, 32};
constexpr std::int64_t kPrefillRows[] = {128, 512};

struct Ceilings {
  double bandwidth, peak;
};

/// Copies of one layer, together larger than the caches.
std::vector<ops::LinearWeight> make_weights(ops::Context& context, const Layer& layer) {
  std::vector<std::uint8_t> bytes(std::size_t(layer.n * layer.k) * size_of(layer.dtype));
  std::minstd_rand random(1);
  for (std::uint8_t& byte : bytes)
    byte = std::uint8_t(random() >> 8) & 0xbf;  // no NaN, no huge values
  const std::int64_t blocks = (layer.n + 127) / 128 * ((layer.k + 127) / 128);
  const std::vector<float> scales(std::size_t(blocks), 0.01f);
  ops::LinearPart part;
  part.tensor.weight = TensorView(layer.dtype, {layer.n, layer.k}, bytes.data());
  if (layer.dtype == DType::f8_e4m3) {
    part.tensor.scale_layout = ScaleLayout::block_128x128;
    part.tensor.scale =
        TensorView(DType::f32, {(layer.n + 127) / 128, (layer.k + 127) / 128}, scales.data());
  }
  std::vector<ops::LinearWeight> weights;
  const std::size_t copies = std::max<std::size_t>(1, kBeyondCaches / bytes.size());
  for (std::size_t i = 0; i < copies; ++i)
    weights.push_back(ops::pack_linear(context, {&part, 1}, false));
  return weights;
}

/// Seconds of the fastest product among all copies, so that other load on the machine counts least.
double best_time(ops::Context& context, const std::vector<ops::LinearWeight>& weights,
                 std::int64_t rows, ops::Rows phase, double seconds) {
  std::vector<bfloat16> x(std::size_t(rows * weights[0].padded_k), to_bfloat16(0.5f));
  std::vector<float> y(std::size_t(rows * weights[0].n));
  const TensorView input(DType::bf16, {rows, weights[0].padded_k}, x.data());
  const TensorView output(DType::f32, {rows, weights[0].n}, y.data());
  double best = 1e9;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (std::size_t i = 0; Clock::now() < end; i = (i + 1) % weights.size()) {
    const auto start = Clock::now();
    ops::matmul(context, input, weights[i], output, phase, false);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

void print_line(const Layer& layer, std::int64_t rows, const char* phase, double time,
                std::size_t bytes, const Ceilings& ceilings) {
  const double rate = double(bytes) / time;
  const double flops = 2.0 * double(rows) * double(layer.n) * double(layer.k) / time;
  fmt::print("{:<14}{:>7}x{:<6}{:<8}{:>5} {:<8}{:>10.1f}{:>9.1f}{:>7.0f}%{:>10.0f}{:>7.0f}%\n",
             layer.name, layer.n, layer.k, name_of(layer.dtype), rows, phase, time * 1e6,
             rate * 1e-9, 100 * rate / ceilings.bandwidth, flops * 1e-9,
             100 * flops / ceilings.peak);
  std::fflush(stdout);
}

void run(int threads, double seconds) {
  device::CpuDevice device(threads);
  ops::Context context(device, 0);
  const bool amx = device.isa() == device::Isa::amx;
  const Ceilings vector{ops::cpu_read_bandwidth(device.pool()),
                        bench::multiply_peak(device.pool(), false)};
  const Ceilings prefill{vector.bandwidth,
                         amx ? bench::multiply_peak(device.pool(), true) : vector.peak};
  fmt::print("{}\nstreaming read {:.1f} GB/s, multiply peak {:.0f} GFLOP/s{}\n\n", device.name(),
             vector.bandwidth * 1e-9, vector.peak * 1e-9,
             amx ? fmt::format(", AMX {:.0f} GFLOP/s", prefill.peak * 1e-9) : "");
  fmt::print("{:<14}{:>14}{:<8}{:>5} {:<8}{:>10}{:>9}{:>8}{:>10}{:>8}\n", "layer", "n x k  ",
             "dtype", "rows", "phase", "µs ", "GB/s", "of read", "GFLOP/s", "of peak");
  for (const Layer& layer : kLayers) {
    const auto weights = make_weights(context, layer);
    const std::size_t bytes = weights[0].bytes();
    for (const std::int64_t rows : kDecodeRows)
      print_line(layer, rows, "decode", best_time(context, weights, rows, {rows, rows}, seconds),
                 bytes, vector);
    for (const std::int64_t rows : kPrefillRows)
      print_line(layer, rows, "prefill", best_time(context, weights, rows, {0, rows}, seconds),
                 bytes, prefill);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc > 1 ? std::atoi(argv[1]) : 0, argc > 2 ? std::atof(argv[2]) : 0.2);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_linear: {}\n", error.what());
    return 1;
  }
}
