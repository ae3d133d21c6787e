#include "cli/bench/dataset_flags.h"

#include <CLI/CLI.hpp>
#include <map>

#include "base/error.h"

namespace isotope::cli {
namespace {

const std::map<std::string, DatasetKind> kKinds = {{"random", DatasetKind::random},
                                                   {"sharegpt", DatasetKind::sharegpt},
                                                   {"gsm8k", DatasetKind::gsm8k},
                                                   {"prompts-file", DatasetKind::prompts_file}};

void add_random_flags(CLI::App& command, DatasetOptions& options) {
  command
      .add_option("--random-input-len,--input-len", options.input_len,
                  "random: tokens of each prompt, besides the prefix")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  command
      .add_option("--random-output-len", options.random_output_len,
                  "random: tokens of each answer (--output-len does the same)")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  command
      .add_option("--random-range-ratio", options.range_ratio,
                  "random: lengths vary evenly by this part up and down")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.999));
  command
      .add_option("--random-prefix-len", options.prefix_len,
                  "random: tokens that all prompts begin with, to measure prefix caching")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 24));
}

}  // namespace

void add_dataset_flags(CLI::App& command, DatasetOptions& options) {
  command
      .add_option_function<std::string>(
          "--dataset-name", [&options](const std::string& name) { options.kind = kKinds.at(name); },
          "random: random tokens; sharegpt: a ShareGPT JSON file; gsm8k: its JSONL file; "
          "prompts-file: a prompt a line, as text or as {\"prompt\", \"output_tokens\"}")
      ->check(CLI::IsMember(kKinds))
      ->type_name("random|sharegpt|gsm8k|prompts-file")
      ->default_str("random");
  command.add_option("--dataset-path", options.path, "The file of the other three")
      ->type_name("FILE");
  command.add_option("--num-prompts", options.num_prompts, "Requests to send at each point")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000));
  command
      .add_option_function<std::int64_t>(
          "--output-len",
          [&options](const std::int64_t& length) {
            options.output_len = options.random_output_len = length;
          },
          "Most tokens of each answer (files: default 256, or what the file says)")
      ->check(CLI::Range(1, 1 << 24));
  add_random_flags(command, options);
}

std::string_view name_of(DatasetKind kind) {
  for (const auto& [name, value] : kKinds)
    if (value == kind) return name;
  assertion_failed("known kind of dataset", __FILE__, __LINE__);
}

}  // namespace isotope::cli
