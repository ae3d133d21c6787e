// isotope eval gsm8k
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "cli/eval/evaluated_model.h"
#include "cli/eval/result_log.h"

namespace isotope::cli {

struct Gsm8kFlags {
  std::shared_ptr<EvaluatedModelFlags> model;
  std::filesystem::path data;
  std::int64_t limit = 0;  ///< 0: all questions
  std::int64_t num_fewshot = 5, max_gen_toks = 256;
  LogFlags log;
  std::string json;
};

int run_gsm8k(const Gsm8kFlags& flags);

}  // namespace isotope::cli
