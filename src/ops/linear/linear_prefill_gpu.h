// Parts of linear_prefill for tests and benchmarks. Internal to ops.
#pragma once

#include <string>
#include <vector>

#include "ops/linear/linear_gpu.h"

namespace isotope::ops::gpu {

/// The ways to cut a product with `weight` (not f32) into pieces, by name: "128x256" is rows and
/// features of a piece. Which one linear_prefill takes depends on the number of rows; all give the
/// same bits.
std::vector<std::string> prefill_tilings(Context& context, const LinearWeight& weight);

/// linear_prefill by prefill_tilings()[tiling].
void linear_prefill_tiled(Context& context, const LinearCall& call, std::int64_t begin,
                          std::int64_t count, int tiling);

/// Only the preparation of the inputs, for at most the 2048 rows that are prepared at a time.
void linear_prefill_inputs(Context& context, const LinearCall& call, std::int64_t begin,
                           std::int64_t count);

/// From this k on an FP8 input is one E4M3 term, which is what a checkpoint with dynamic activation
/// scales defines. Smaller products are cheap, and models made of them sensitive: they get two
/// terms, BF16's precision.
constexpr std::int64_t kPrefillOneTermK = 1024;

}  // namespace isotope::ops::gpu
