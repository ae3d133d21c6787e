// tokenizer_config.json: what transformers adds to a tokenizer file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace isotope::text {

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;

  /// Everything empty if the folder has no such file. Errors name file, field and value.
  static TokenizerConfig load(const std::filesystem::path& model_dir);
};

}  // namespace isotope::text
