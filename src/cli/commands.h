// The verbs of the command line, one file each.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace isotope::cli {

/// Adds a subcommand; `run` is set to what it does if it was chosen. The result is the exit code.
using Action = std::function<int()>;
void add_run(CLI::App& app, Action& run);
void add_chat(CLI::App& app, Action& run);
void add_serve(CLI::App& app, Action& run);
void add_bench(CLI::App& app, Action& run);
void add_eval(CLI::App& app, Action& run);
void add_profile(CLI::App& app, Action& run);
void add_tune(CLI::App& app, Action& run);
void add_quantize(CLI::App& app, Action& run);
void add_info(CLI::App& app, Action& run);
void add_kernels(CLI::App& app, Action& run);
void add_pull(CLI::App& app, Action& run);
void add_models(CLI::App& app, Action& run);
void add_generated_files(CLI::App& app, Action& run);

}  // namespace isotope::cli
