// Random weights of the right shapes, for benchmarks without a download (--load-format dummy).
#pragma once

#include <cstdint>
#include <memory>

#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::weights {

/// A source that answers find() for every tensor that a model of `config` may ask for, in HF names,
/// with the dtypes and scales of its quantization (FP8 where quantized, else BF16). Made on demand,
/// deterministic in `seed` and name; values keep activations finite and non-trivial (weights ~ N(0,
/// 1/k), norms near 1). Memory is the largest matrix of each kind.
std::unique_ptr<TensorSource> make_dummy_source(const ModelConfig& config, std::uint64_t seed);

/// The same tensors, all zero, at no cost: for those who want shapes and dtypes alone. Embedding
/// and head differ in one byte unless they are tied.
std::unique_ptr<TensorSource> make_shape_source(const ModelConfig& config);

}  // namespace isotope::weights
