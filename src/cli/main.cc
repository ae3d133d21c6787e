// isotope: FP8 language models on one device.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/version.h"

namespace {

constexpr const char* kExamples = R"(
Examples:
  isotope pull  Qwen/Qwen3-8B-FP8
  isotope run   --model DIR --prompt "What is the capital of France?"
  isotope chat  --model DIR
  isotope serve --model DIR --port 8000
  isotope bench latency --model DIR --batch-size 1,8,32
  isotope bench serve --port 8000 --max-concurrency 1,8,32
  isotope eval gsm8k --model DIR --data DIR --limit 200
  isotope profile --model DIR
  isotope tune  --model DIR
  isotope quantize DIR DIR-FP8
  isotope info  DIR

`isotope COMMAND --help` explains each command.)";

int run_program(int argc, char** argv) {
  CLI::App app("Serves FP8 language models on a single device.", "isotope");
  app.set_version_flag("--version", isotope::cli::version_with_build());
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  std::string level = "info";
  app.add_option("--log-level", level, "debug, info, warning, error or off")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  app.fallthrough();
  isotope::cli::Action action;
  isotope::cli::add_run(app, action);
  isotope::cli::add_chat(app, action);
  isotope::cli::add_serve(app, action);
  isotope::cli::add_bench(app, action);
  isotope::cli::add_eval(app, action);
  isotope::cli::add_profile(app, action);
  isotope::cli::add_tune(app, action);
  isotope::cli::add_quantize(app, action);
  isotope::cli::add_pull(app, action);
  isotope::cli::add_models(app, action);
  isotope::cli::add_info(app, action);
  isotope::cli::add_kernels(app, action);
  isotope::cli::add_generated_files(app, action);
  app.footer(kExamples);  // after the verbs, which would inherit it
  app.failure_message(CLI::FailureMessage::simple);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  using isotope::LogLevel;
  const std::pair<const char*, LogLevel> levels[] = {{"debug", LogLevel::debug},
                                                     {"info", LogLevel::info},
                                                     {"warning", LogLevel::warning},
                                                     {"error", LogLevel::error},
                                                     {"off", LogLevel::off}};
  for (const auto& [name, value] : levels)
    if (level == name) isotope::set_log_level(value);
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("isotope: out of memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "isotope: %s\n", error.what());
  }
  return 1;
}
