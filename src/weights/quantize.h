// BF16, F16 or F32 checkpoints to FP8: what `isotope quantize` does.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/tensor.h"

namespace isotope::weights {

struct QuantizeOptions {
  ScaleLayout layout = ScaleLayout::block_128x128;  ///< block_128x128, per_row or per_tensor
  /// Also make an FP8 head, per row, whatever the layout of the rest; a tied model gets
  /// lm_head.weight beside its embedding, which stays as it is.
  bool quantize_lm_head = false;
  /// Replace `target_dir` if it is a model's folder (has a config.json) or empty; anything else is
  /// never replaced.
  bool overwrite = false;
};

/// Reads `source_dir`, writes `target_dir`: the seven linear layers of each block as F8_E4M3 with
/// their scales (absmax / 448, in F32), every other tensor unchanged, all in one model.safetensors;
/// config.json with its quantization_config; other files copied (except weights in other formats).
/// The folder appears complete or not at all.
///
/// What is written is what released checkpoints use, so that other programs load it too:
///   block_128x128  quant_method fp8, weight_block_size [128,128], `weight_scale_inv` (as
///   Qwen3-8B-FP8) per_tensor     quant_method fp8, weight_block_size null, `weight_scale_inv`
///   0-dimensional (as Ministral 3) per_row        quant_method compressed-tensors, strategy
///   channel, `weight_scale` [n, 1]
/// An FP8 head is our own addition, announced by "lm_head": true in quantization_config.
///
/// Memory: one tensor at a time. `progress(done, total, name)` counts the tensors read. Errors:
/// invalid_argument if the target exists or the source is quantized already; corrupt_data if a
/// weight is not finite.
void quantize_checkpoint(
    const std::filesystem::path& source_dir, const std::filesystem::path& target_dir,
    const QuantizeOptions& options,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress);

}  // namespace isotope::weights
