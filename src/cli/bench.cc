// isotope bench: measurements, each beside the ceiling of the device in the same run.
#include <CLI/CLI.hpp>

#include "cli/bench_latency.h"
#include "cli/commands.h"
#include "cli/model_flags.h"

namespace isotope::cli {
namespace {

void add_latency(CLI::App& bench, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "latency", "Time to first token, time per token, and how much of the read bandwidth that is");
  const auto flags = std::make_shared<LatencyFlags>();
  command
      .add_option("--model,-m", flags->engine.model,
                  "A model's folder; with --load-format dummy its config.json will do")
      ->required()
      ->type_name("DIR|FILE");
  command.add_option("--batch-size", flags->batch_sizes, "Requests at a time, such as 1,8,32")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--input-len", flags->input_len, "Tokens of each prompt")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--output-len", flags->output_len, "Tokens of each answer")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--num-iters", flags->num_iters, "Measured repetitions")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--warmup", flags->warmup, "Repetitions before these")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--json", flags->json,
                  "Also write the figures to a file (-: to standard output instead of the table)")
      ->type_name("FILE");
  add_engine_flags(command, flags->engine);
  command.callback([flags, &command, &action] {
    flags->max_num_seqs_given = command.count("--max-num-seqs") > 0;
    action = [flags] { return run_latency(*flags); };
  });
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("bench", "Measure speed against the device's ceilings");
  command.require_subcommand(1);
  add_latency(command, action);
}

}  // namespace isotope::cli
