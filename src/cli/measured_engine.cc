#include "cli/measured_engine.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/progress.h"

namespace isotope::cli {

void add_measured_model_flag(CLI::App& command, engine::EngineOptions& engine) {
  command
      .add_option("--model,-m", engine.model,
                  "A model's folder, or org/name at the hub; with --load-format dummy a "
                  "config.json will do")
      ->required()
      ->type_name("DIR|FILE|ORG/NAME");
}

void MeasuredRequests::add_to(CLI::App& command) {
  command.add_option("--input-len", input_len, "Tokens of each prompt")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--output-len", output_len, "Tokens of each answer")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--num-iters", num_iters, "Measured repetitions")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void MeasuredRequests::check() const {
  if (output_len < 3)
    fail(ErrorCode::invalid_argument, "--output-len {}: at least 3 tokens are needed to time steps",
         output_len);
}

engine::EngineOptions MeasuredRequests::engine_options(engine::EngineOptions options,
                                                       std::int64_t batch) const {
  if (!max_num_seqs_given || options.max_num_seqs < batch) options.max_num_seqs = batch;
  if (options.max_model_len == 0) options.max_model_len = input_len + output_len;
  options.prefix_caching = false;
  return options;
}

std::unique_ptr<engine::Engine> start_engine(engine::EngineOptions options) {
  ProgressBar bar("Starting");
  options.progress = [&bar](std::int64_t done, std::int64_t total, std::string_view what) {
    bar.update(done, total, what);
  };
  auto engine = std::make_unique<engine::Engine>(options);
  bar.finish();
  return engine;
}

}  // namespace isotope::cli
