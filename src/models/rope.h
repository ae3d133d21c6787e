// Rotary embedding frequencies from a configuration.
#pragma once

#include <cstdint>
#include <vector>

#include "weights/config.h"

namespace isotope::models {

struct RopeTable {
  std::vector<double> inverse_frequencies;  ///< [head_dim / 2]
  double attention_factor = 1.0;            ///< multiplies cos and sin
};

/// "default", "linear", "llama3" and "yarn" as transformers' modeling_rope_utils defines them.
RopeTable make_rope_table(const weights::RopeParameters& rope, std::int64_t head_dim);

}  // namespace isotope::models
