// Parts of linear_prefill for tests, benchmarks and `isotope tune`. Internal to ops.
#pragma once

#include <string>
#include <vector>

#include "ops/linear/linear_gpu.h"
#include "ops/tuning/tuning.h"

namespace isotope::ops::gpu {

/// The ways to cut a product with `weight` (not f32) into pieces, by name: "128x256" is rows and
/// features of a piece. Which one linear_prefill takes depends on the number of rows; all give the
/// same bits.
std::vector<std::string> prefill_tilings(Context& context, const LinearWeight& weight);

/// linear_prefill by prefill_tilings()[tiling].
void linear_prefill_tiled(Context& context, const LinearCall& call, std::int64_t begin,
                          std::int64_t count, int tiling);

/// What a table may choose for `rows` rows of a product; no candidates where nothing can be chosen.
TuningSpace linear_prefill_tuning(Context& context, const LinearWeight& weight, std::int64_t rows);

/// Only the preparation of the inputs, for at most the 2048 rows that are prepared at a time.
void linear_prefill_inputs(Context& context, const LinearCall& call, std::int64_t begin,
                           std::int64_t count);

/// From this k on an FP8 input is one E4M3 term, which is what a checkpoint with dynamic activation
/// scales defines. Smaller products are cheap, and models made of them sensitive: they get two
/// terms, BF16's precision.
constexpr std::int64_t kPrefillOneTermK = 1024;

}  // namespace isotope::ops::gpu
