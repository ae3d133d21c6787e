// The flags that choose prompts, spelled as vLLM's.
#pragma once

#include "cli/bench/dataset.h"

namespace CLI {
class App;
}

namespace isotope::cli {

void add_dataset_flags(CLI::App& command, DatasetOptions& options);

/// "random", "sharegpt", "gsm8k" or "prompts-file".
std::string_view name_of(DatasetKind kind);

}  // namespace isotope::cli
