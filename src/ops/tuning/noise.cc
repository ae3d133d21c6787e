#include "ops/tuning/noise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/tensor.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops {

std::vector<float> random_values(std::int64_t count, float sigma, std::uint32_t seed) {
  // A large matrix of independent values would take longer to make than to multiply.
  constexpr std::int64_t kPeriod = 1'000'003;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    values[std::size_t(i)] = i < kPeriod ? normal(random) : values[std::size_t(i - kPeriod)];
  return values;
}

void round_to_bf16(std::vector<float>& values) {
  for (float& value : values) value = to_float(to_bfloat16(value));
}

device::Buffer upload(device::Device& device, const std::vector<float>& values, DType dtype) {
  std::vector<bfloat16> halves;
  if (dtype == DType::bf16)
    for (const float value : values) halves.push_back(to_bfloat16(value));
  const void* data = dtype == DType::bf16 ? static_cast<const void*>(halves.data()) : values.data();
  device::Buffer buffer = device.allocate(values.size() * size_of(dtype), "inputs to tune with");
  device.stream().copy_to_device(buffer.data(), data, buffer.size());
  device.stream().synchronize();
  return buffer;
}

std::int64_t calls_beyond_caches(const Context& context, double bytes) {
  const auto& gpu = context.kernels().gpu();
  if (gpu.counted_work()) return 1;  // a simulated card has no caches
  const double enough = 4.0 * double(std::max<std::size_t>(gpu.properties().l2_bytes, 16 << 20));
  return std::clamp<std::int64_t>(std::int64_t(enough / std::max(1.0, bytes)) + 1, 2, 64);
}

std::vector<std::int64_t> spread_out(std::int64_t count, std::int64_t most) {
  std::vector<std::int64_t> chosen;
  const std::int64_t steps = std::min(count, most);
  for (std::int64_t i = 0; i < steps; ++i)
    chosen.push_back(steps == 1 ? 0 : i * (count - 1) / (steps - 1));
  return chosen;
}

double relative_difference(const std::vector<std::byte>& a, const std::vector<std::byte>& b,
                           DType dtype, double tolerance) {
  const auto count = std::int64_t(a.size() / size_of(dtype));
  if (a.size() != b.size() || count == 0) return std::numeric_limits<double>::infinity();
  const TensorView left(dtype, {count}, const_cast<std::byte*>(a.data()));
  const TensorView right(dtype, {count}, const_cast<std::byte*>(b.data()));
  double mean = 0;
  for (std::int64_t i = 0; i < count; ++i) mean += std::fabs(double(load_float(left, i)));
  mean /= double(count);
  double worst = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = double(load_float(left, i));
    const double off = std::fabs(value - double(load_float(right, i))) /
                       (tolerance * (std::fabs(value) + mean) + 1e-30);
    if (!(off <= worst)) worst = off;  // NaN too
    if (std::isnan(off)) return std::numeric_limits<double>::infinity();
  }
  return worst;
}

}  // namespace isotope::ops
