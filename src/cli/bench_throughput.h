// isotope bench throughput: how much the engine computes when all requests are there at once.
#pragma once

#include <string>

#include "cli/bench/dataset.h"
#include "engine/engine.h"

namespace isotope::cli {

struct ThroughputFlags {
  engine::EngineOptions engine;
  DatasetOptions dataset;
  double temperature = 0;
  bool ignore_eos = true;
  std::string json;  ///< a file; "-": standard output, instead of the table
};

/// Errors as of Engine and make_dataset. 130 after Ctrl-C, with what was measured till then.
int run_throughput(const ThroughputFlags& flags);

}  // namespace isotope::cli
