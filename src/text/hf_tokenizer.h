// tokenizer.json, the format of Hugging Face's library `tokenizers`.
#pragma once

#include <filesystem>

#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_config.h"

namespace isotope::text {

/// Errors: corrupt_data naming file, field and value; unsupported naming the component.
TokenizerParts load_hf_tokenizer(const std::filesystem::path& file, const TokenizerConfig& config);

}  // namespace isotope::text
