// isotope eval: are the answers right?
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/eval/compare.h"
#include "cli/eval/gsm8k.h"
#include "cli/eval/perplexity.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

void add_gsm8k(CLI::App& eval, Action& action) {
  CLI::App& command = *eval.add_subcommand(
      "gsm8k", "Grade-school mathematics, 5-shot, scored as by lm-evaluation-harness");
  command.footer(R"(
Examples:
  isotope eval gsm8k --model DIR --data gsm8k --limit 200 --output run.jsonl
  isotope eval gsm8k --base-url http://localhost:8000 --data gsm8k --output run.jsonl --resume

gsm8k is a folder with train.jsonl and test.jsonl of openai/grade-school-math.
docs/evaluation.md defines the scores.)");
  const auto flags = std::make_shared<Gsm8kFlags>();
  flags->model = add_evaluated_model_flags(command);
  command
      .add_option(
          "--data", flags->data,
          "Folder with train.jsonl and test.jsonl, or a file of questions beside train.jsonl")
      ->required()
      ->type_name("DIR|FILE");
  command.add_option("--limit", flags->limit, "Ask only the first so many questions (0: all)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--num-fewshot", flags->num_fewshot, "Solved examples before each question")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  command.add_option("--max-gen-toks", flags->max_gen_toks, "Longest answer in tokens")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  flags->log.add_to(command, "question");
  add_report_flag(command, flags->json);
  command.callback([flags, &action] { action = [flags] { return run_gsm8k(*flags); }; });
}

void add_perplexity(CLI::App& eval, Action& action) {
  CLI::App& command = *eval.add_subcommand(
      "perplexity", "How well a model predicts a text: perplexity and bits per byte");
  command.footer(R"(
Example:
  isotope eval perplexity text.txt --model DIR --context-length 1024 --stride 512)");
  const auto flags = std::make_shared<PerplexityFlags>();
  command.add_option("text", flags->text, "File with the text (UTF-8)")
      ->required()
      ->type_name("FILE");
  flags->model = add_evaluated_model_flags(command);
  command.add_option("--context-length", flags->context_length, "Tokens of each window")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 24));
  command
      .add_option("--stride", flags->stride,
                  "Tokens from one window's beginning to the next's (default: half of the context)")
      ->check(CLI::PositiveNumber);
  command.add_option("--limit", flags->limit, "Only the first so many windows (0: all)")
      ->check(CLI::NonNegativeNumber);
  flags->log.add_to(command, "window");
  add_report_flag(command, flags->json);
  command.callback([flags, &action] { action = [flags] { return run_perplexity(*flags); }; });
}

void add_compare(CLI::App& eval, Action& action) {
  CLI::App& command = *eval.add_subcommand(
      "compare", "Whether two runs differ by more than chance, question by question");
  command.footer(R"(
Example:
  isotope eval compare bf16.jsonl fp8.jsonl --show-flips 5

GSM8K: McNemar's exact test of the questions on which the runs disagree. Perplexity: the paired
difference per token with its standard error over windows, and a bootstrap interval.)");
  const auto flags = std::make_shared<CompareFlags>();
  command.add_option("a", flags->a, "--output of one run")->required()->type_name("A");
  command.add_option("b", flags->b, "--output of the other")->required()->type_name("B");
  command
      .add_option("--show-flips", flags->show_flips,
                  "GSM8K: show so many answers whose verdicts differ")
      ->check(CLI::NonNegativeNumber);
  add_report_flag(command, flags->json);
  command.callback([flags, &action] { action = [flags] { return run_compare(*flags); }; });
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("eval", "Measure how good answers are");
  command.require_subcommand(1);
  add_gsm8k(command, action);
  add_perplexity(command, action);
  add_compare(command, action);
}

}  // namespace isotope::cli
