// A model behind OpenAI's completions protocol.
#pragma once

#include <memory>
#include <string>

#include "cli/eval/evaluated_model.h"

namespace isotope::cli {

struct UrlModelOptions {
  std::string base_url, model, api_key;  ///< an empty model: the first that the server has
  int concurrency = 32;
  int timeout_seconds = 3600;  ///< for a whole answer: nothing comes before it is complete
};

std::unique_ptr<EvaluatedModel> open_url_model(const UrlModelOptions& options);

}  // namespace isotope::cli
