// What the commands that measure the engine alone have in common: flags, limits, the start.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/engine.h"

namespace CLI {
class App;
}

namespace isotope::cli {

/// --model, for measurements: random weights of a configuration will do.
void add_measured_model_flag(CLI::App& command, engine::EngineOptions& engine);

/// Requests of random tokens that are sent again and again.
struct MeasuredRequests {
  std::int64_t input_len = 512, output_len = 64, num_iters = 3;
  bool max_num_seqs_given = false;

  /// --input-len, --output-len, --num-iters.
  void add_to(CLI::App& command);
  /// Errors: invalid_argument if answers are too short to time steps.
  void check() const;
  /// An engine with room for `batch` of them at a time, and for no others unless flags say so;
  /// nothing of one repetition is left to the next.
  engine::EngineOptions engine_options(engine::EngineOptions options, std::int64_t batch) const;
};

/// Loads the model with a progress bar.
std::unique_ptr<engine::Engine> start_engine(engine::EngineOptions options);

}  // namespace isotope::cli
