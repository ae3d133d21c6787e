// Where a checkpoint keeps the scales of its quantized linear layers, and how they are laid out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/tensor.h"
#include "weights/checkpoint.h"

namespace isotope::weights {

/// What config.json's quantization_config says (or the absence of one). Loading goes by the tensors
/// themselves (find_linear); this is for people, for random weights, and to refuse early what
/// cannot be loaded.
struct QuantizationConfig {
  bool fp8 = false;
  ScaleLayout weight_scales = ScaleLayout::none;
  bool static_activations = false;  ///< the checkpoint carries activation scales
  bool lm_head = false;             ///< the head is FP8 too, with one scale per row
  std::vector<std::string>
      not_converted;  ///< as written: name prefixes (or "re:…") that stay unquantized
};

/// Reads `quantization_config` of the configuration, or of its text_config: quant_method fp8
/// (weight_block_size [128,128] or null: per tensor), compressed-tensors float-quantized 8 bit
/// (strategy tensor, channel: per row, or block [128,128]). Anything else is refused by name
/// (unsupported).
QuantizationConfig read_quantization(const JsonFields& config);

/// The linear layer `prefix` + ".weight" with its scales: `weight_scale_inv` or `weight_scale` (any
/// of the layouts of ScaleLayout, recognised by shape), `activation_scale` or `input_scale`. Names
/// taken are appended to `used`. The scale's view is brought to the shape that ScaleLayout says
/// ([], [n], or blocks). Shape must be [n, k]. Errors: not_found; corrupt_data if FP8 has no scale,
/// a scale's shape fits no layout, a scale is not finite or not positive, the dtype is none of f32,
/// f16, bf16, f8_e4m3.
ScaledTensor find_linear(const TensorSource& source, std::string_view prefix, std::int64_t n,
                         std::int64_t k, std::vector<std::string>& used);

}  // namespace isotope::weights
