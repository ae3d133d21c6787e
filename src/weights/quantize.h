// BF16, F16 or F32 checkpoints to FP8: what `isotope quantize` does.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/tensor.h"

namespace isotope::weights {

struct QuantizeOptions {
  ScaleLayout layout = ScaleLayout::block_128x128;  ///< block_128x128, per_row or per_tensor
  bool quantize_lm_head = false;                    ///< per row, whatever the layout of the rest
  bool overwrite = false;
};

/// Reads `source_dir`, writes `target_dir` (config.json with its quantization_config, the seven linear layers of each
/// block as F8_E4M3 with weight_scale_inv, everything else unchanged, other files copied). Scales are absmax / 448 and
/// stored in F32. `progress(done, total, name)` counts tensors. The folder appears complete or not at all.
void quantize_checkpoint(const std::filesystem::path& source_dir, const std::filesystem::path& target_dir,
                         const QuantizeOptions& options,
                         const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress);

}  // namespace isotope::weights
