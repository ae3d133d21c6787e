// isotope eval perplexity
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "cli/eval/evaluated_model.h"
#include "cli/eval/result_log.h"

namespace isotope::cli {

struct PerplexityFlags {
  std::shared_ptr<EvaluatedModelFlags> model;
  std::filesystem::path text;
  std::int64_t context_length = 1024;
  std::int64_t stride = 0;  ///< 0: half of the context
  std::int64_t limit = 0;   ///< windows; 0: all
  LogFlags log;
  std::string json;
};

int run_perplexity(const PerplexityFlags& flags);

}  // namespace isotope::cli
