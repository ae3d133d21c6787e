// Mistral's own params.json, read into the same configuration as config.json.
#pragma once

#include "weights/config.h"

namespace isotope::weights {

/// `params` is the whole of params.json.
TextConfig read_native_text_config(const JsonFields& params);

/// What no single field shows, for both spellings: even head_dim, heads divisible by KV heads,
/// bounded product.
void check_heads(const TextConfig& text, std::string_view file);

// Limits of the counts: far above every model served, and low enough that any size made of them
// fits 63 bits. The largest are layers · hidden · intermediate (2^54) and layers · attention width
// · positions (2^58) elements.
inline constexpr std::int64_t kMaxHidden = std::int64_t(1) << 20;
inline constexpr std::int64_t kMaxIntermediate = std::int64_t(1) << 22;
inline constexpr std::int64_t kMaxLayers = 4096;
inline constexpr std::int64_t kMaxHeads = 4096;
inline constexpr std::int64_t kMaxHeadDim = 4096;
inline constexpr std::int64_t kMaxVocab = std::int64_t(1) << 24;
inline constexpr std::int64_t kMaxAttentionWidth = std::int64_t(1) << 20;  ///< heads · head_dim
inline constexpr std::int64_t kMaxPosition = std::int64_t(1) << 26;
inline constexpr double kMinTheta = 1.0, kMaxTheta = 1e15;
inline constexpr double kMaxRopeFactor = 1e6;

}  // namespace isotope::weights
