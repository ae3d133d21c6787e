#include "cli/eval/evaluated_model.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/eval/engine_model.h"
#include "cli/eval/url_model.h"

namespace isotope::cli {

struct EvaluatedModelFlags {
  ModelFlags model;
  UrlModelOptions url;
};

std::shared_ptr<EvaluatedModelFlags> add_evaluated_model_flags(CLI::App& command) {
  auto flags = std::make_shared<EvaluatedModelFlags>();
  command
      .add_option("--model,-m", flags->model.engine.model,
                  "Folder of the model to run in this process; with --base-url the name that "
                  "requests carry (default: the first that the server has)")
      ->type_name("DIR|NAME");
  command
      .add_option("--base-url", flags->url.base_url,
                  "Ask a server with OpenAI's protocol instead, such as http://localhost:8000")
      ->type_name("URL");
  command
      .add_option("--api-key", flags->url.api_key, "The server's key (default: $OPENAI_API_KEY)")
      ->envname("OPENAI_API_KEY");
  command.add_option("--concurrency", flags->url.concurrency, "Requests at a time to the server")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command
      .add_option(
          "--timeout", flags->url.timeout_seconds,
          "Seconds without a byte after which a request to the server has failed; answers come "
          "whole, so this is for all of one")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  add_engine_flags(command, flags->model.engine);
  return flags;
}

std::unique_ptr<EvaluatedModel> open_evaluated_model(EvaluatedModelFlags& flags) {
  if (!flags.url.base_url.empty()) {
    flags.url.model = flags.model.engine.model.string();
    return open_url_model(flags.url);
  }
  if (flags.model.engine.model.empty())
    fail(ErrorCode::invalid_argument,
         "which model? Give --model DIR to run it here, or --base-url URL to ask a server");
  return open_engine_model(flags.model);
}

}  // namespace isotope::cli
