// Inputs to tune with, and comparisons of outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "ops/context.h"

namespace isotope::ops {

/// Normally distributed with mean 0.
std::vector<float> random_values(std::int64_t count, float sigma, std::uint32_t seed);
void round_to_bf16(std::vector<float>& values);
/// `dtype`: f32, or bf16 of values that it can hold.
device::Buffer upload(device::Device& device, const std::vector<float>& values, DType dtype);

/// Calls that each read `bytes` of their own, so many that the first one's have left the caches.
std::int64_t calls_beyond_caches(const Context& context, double bytes);

/// At most `most` of the numbers 0 … count - 1, the first and the last among them.
std::vector<std::int64_t> spread_out(std::int64_t count, std::int64_t most);

/// The greatest |a - b| over `tolerance` · (|a| + the mean magnitude of a); infinite for NaN.
double relative_difference(const std::vector<std::byte>& a, const std::vector<std::byte>& b,
                           DType dtype, double tolerance);

}  // namespace isotope::ops
