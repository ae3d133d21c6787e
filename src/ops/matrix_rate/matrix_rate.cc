#include "ops/matrix_rate/matrix_rate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/dtype.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear_add/linear_add.h"

namespace isotope::ops {
namespace {

constexpr int kPasses = 5;

/// Random numbers: equal ones would take less power, hence run faster than a model does.
LinearWeight random_weight(Context& context, std::int64_t size, DType dtype) {
  std::vector<std::uint8_t> bytes(std::size_t(size * size) * size_of(dtype));
  std::minstd_rand random(1);
  for (std::uint8_t& byte : bytes)
    byte = std::uint8_t(random() >> 8) & 0xbf;  // neither NaN nor large
  const std::int64_t blocks = (size + 127) / 128;
  const std::vector<float> scales(std::size_t(blocks * blocks), 0.01f);
  LinearPart part;
  part.tensor.weight = TensorView(dtype, {size, size}, bytes.data());
  if (dtype == DType::f8_e4m3) {
    part.tensor.scale_layout = ScaleLayout::block_128x128;
    part.tensor.scale = TensorView(DType::f32, {blocks, blocks}, scales.data());
  }
  LinearWeight weight = pack_linear(context, {&part, 1}, false);
  context.stream().synchronize();
  return weight;
}

device::Buffer random_input(device::Device& device, std::int64_t count) {
  std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::uint16_t& value : values) {
    const bfloat16 rounded = to_bfloat16(uniform(random));
    std::memcpy(&value, &rounded, sizeof value);
  }
  device::Buffer buffer = device.allocate(values.size() * 2, "inputs");
  device.stream().copy_to_device(buffer.data(), values.data(), buffer.size());
  device.stream().synchronize();
  return buffer;
}

}  // namespace

double matrix_rate(device::Device& device, DType dtype) {
  const bool gpu = device.kind() != device::Kind::cpu;
  const std::int64_t size = gpu ? 8192 : 2048, rows = gpu ? 2048 : 512;
  const int each = gpu ? 8 : 1;
  Context context(device, linear_add_scratch(rows, size, gpu));
  const LinearWeight weight = random_weight(context, size, dtype);
  const device::Buffer input = random_input(device, rows * size);
  const device::Buffer output = device.allocate(std::size_t(rows * size) * 4, "outputs");
  const TensorView x(DType::bf16, {rows, size}, input.data());
  const TensorView y(DType::f32, {rows, size}, output.data());
  if (context.on_gpu()) {
    context.kernels().start_recording();
    linear_add(context, x, weight, y, {0, rows});
    context.kernels().build(context.kernels().stop_recording());
  }
  double best = 0;
  for (int pass = 0; pass <= kPasses; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < each; ++i) linear_add(context, x, weight, y, {0, rows});
    device.stream().synchronize();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double flops = 2.0 * double(each) * double(rows) * double(size) * double(size);
    if (pass > 0) best = std::max(best, flops / time.count());  // the first one warms up
  }
  return best;
}

}  // namespace isotope::ops
