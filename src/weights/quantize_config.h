// The config.json of a quantized checkpoint.
#pragma once

#include <filesystem>

#include "weights/config.h"
#include "weights/quantize.h"

namespace isotope::weights {

/// Writes the source's config.json to `path` with the quantization_config that `options` call for.
void write_quantized_config(const ModelConfig& source, const QuantizeOptions& options,
                            const std::filesystem::path& path);

}  // namespace isotope::weights
