// tekken.json, Mistral's own tokenizer format.
#pragma once

#include <filesystem>

#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_config.h"

namespace isotope::text {

/// Ids are the control tokens first, then the byte sequences by rank. `config` may rename BOS and
/// EOS. Errors: corrupt_data naming file, field and value.
TokenizerParts load_tekken(const std::filesystem::path& file, const TokenizerConfig& config);

}  // namespace isotope::text
