// The prompts of a measurement: random ones of a given length, or those of a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "text/tokenizer.h"

namespace isotope::cli {

struct BenchPrompt {
  std::string text;
  std::vector<TokenId> tokens;  ///< of the text, if there is a tokenizer
  std::int64_t prompt_len = 0;  ///< tokens; without a tokenizer the number asked for, or 0
  std::int64_t output_len = 0;  ///< most tokens of the answer
};

enum class DatasetKind { random, sharegpt, gsm8k, prompts_file };

struct DatasetOptions {
  DatasetKind kind = DatasetKind::random;
  std::filesystem::path path;
  std::int64_t num_prompts = 1000;
  std::uint64_t seed = 0;
  /// random: lengths are uniform in [len * (1 - ratio), len * (1 + ratio)], rounded outwards; all
  /// prompts begin with the same prefix_len tokens.
  std::int64_t input_len = 1024, random_output_len = 128, prefix_len = 0;
  double range_ratio = 0;
  /// Files: instead of the length that the file gives, or of 256.
  std::optional<std::int64_t> output_len;
};

struct Dataset {
  std::vector<BenchPrompt> prompts;
  std::size_t distinct = 0;  ///< of the file; fewer than the prompts if these repeat
};

/// The same options give the same prompts. Without a tokenizer random prompts are common English
/// words, about one token each. Errors: not_found, corrupt_data naming file and line,
/// invalid_argument if nothing in it is usable or a length needs a tokenizer.
Dataset make_dataset(const DatasetOptions& options, const text::Tokenizer* tokenizer);

/// The part of it for DatasetKind::random.
Dataset random_dataset(const DatasetOptions& options, const text::Tokenizer* tokenizer);

/// Random prompts as ids below `vocab_size`, for an engine without text.
Dataset random_tokens(const DatasetOptions& options, std::int64_t vocab_size);

}  // namespace isotope::cli
