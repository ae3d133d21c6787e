// isotope quantize: a BF16, F16 or F32 checkpoint to FP8.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/resolve_model.h"
#include "weights/quantize.h"

namespace isotope::cli {
namespace {

struct QuantizeFlags {
  std::filesystem::path source, target;
  weights::QuantizeOptions options;
};

const std::map<std::string, ScaleLayout> kSchemes = {{"block", ScaleLayout::block_128x128},
                                                     {"row", ScaleLayout::per_row},
                                                     {"tensor", ScaleLayout::per_tensor}};

int run(const QuantizeFlags& flags) {
  const std::filesystem::path source = resolve_model(flags.source, "");
  ProgressBar bar("Quantizing");
  weights::quantize_checkpoint(source, flags.target, flags.options,
                               [&bar](std::int64_t done, std::int64_t total,
                                      std::string_view name) { bar.update(done, total, name); });
  bar.finish();
  std::cout << "Wrote " << flags.target.string() << " (FP8 E4M3, scales "
            << name_of(flags.options.layout) << ")\n";
  return 0;
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("quantize", "Convert a checkpoint to FP8");
  command.footer(R"(
Examples:
  isotope quantize SmolLM2-135M-Instruct SmolLM2-135M-Instruct-FP8
  isotope quantize HuggingFaceTB/SmolLM2-135M-Instruct SmolLM2-135M-Instruct-FP8)");
  const auto flags = std::make_shared<QuantizeFlags>();
  command
      .add_option("source", flags->source,
                  "A BF16, F16 or F32 checkpoint: its folder, or org/name at the hub")
      ->required();
  command.add_option("target", flags->target, "Folder to write")->required();
  command
      .add_option_function<std::string>(
          "--scheme",
          [flags](const std::string& name) { flags->options.layout = kSchemes.at(name); },
          "Scales: one per block of 128x128 (the default), per output row, or per tensor")
      ->check(CLI::IsMember(kSchemes))
      ->type_name("block|row|tensor");
  command.add_flag("--lm-head", flags->options.quantize_lm_head,
                   "Quantize the output head too (per row)");
  command.add_flag("--overwrite", flags->options.overwrite, "Replace the target if it is there");
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
