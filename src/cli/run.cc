// isotope run: one prompt, one answer.
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <iterator>

#include "cli/commands.h"
#include "cli/finish_reason.h"
#include "cli/interrupt_guard.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/terminal_answer.h"

namespace isotope::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string prompt, system;
  bool raw = false, json = false, no_thinking = false;
};

std::vector<TokenId> prompt_tokens(const RunFlags& flags, const server::ServedModel& model) {
  if (flags.raw) return model.tokenizer->encode(flags.prompt, {.add_special_tokens = true});
  json::array messages;
  if (!flags.system.empty()) messages.push_back(message("system", flags.system));
  messages.push_back(message("user", flags.prompt));
  return chat_prompt(model, messages, !flags.no_thinking);
}

void print_json(const server::ServedModel& model, const server::Generation& generation,
                const std::string& text) {
  const json::object result{{"model", model.name},
                            {"text", text},
                            {"finish_reason", finish_name(generation.finish_reason())},
                            {"prompt_tokens", generation.prompt_tokens()},
                            {"completion_tokens", generation.completion_tokens()},
                            {"ttft_ms", generation.ttft() * 1e3},
                            {"tpot_ms", generation.tpot() * 1e3}};
  std::cout << json::serialize(result) << "\n";
}

int run(RunFlags& flags) {
  if (flags.prompt == "-") flags.prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  const auto model = flags.model.load();
  const InterruptGuard guard;
  server::GenerationOptions options = flags.sampling.over(model->default_sampling);
  engine::Request request{.id = "run", .prompt = prompt_tokens(flags, *model)};
  if (options.sampling.max_tokens == 0)
    options.sampling.max_tokens = std::max<std::int64_t>(
        1, model->engine->info().max_model_len - std::int64_t(request.prompt.size()));
  server::Generation generation(*model, std::move(request), options);
  const TerminalAnswer answer = stream_answer(generation, !flags.json);
  if (generation.finish_reason() == engine::FinishReason::error)
    fail(ErrorCode::internal, "{}", generation.error());
  if (flags.json)
    print_json(*model, generation, answer.text);
  else
    std::cout << "\n";
  return answer.interrupted ? 130 : 0;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("run", "Answer one prompt and exit");
  command.footer(R"(
Examples:
  isotope run --model DIR --prompt "What is the capital of France?" --temperature 0
  isotope run --model DIR --prompt - --system "Summarize in one sentence." <letter.txt)");
  const auto flags = std::make_shared<RunFlags>();
  flags->model.add_to(command);
  flags->sampling.add_to(command);
  command.add_option("--prompt,-p", flags->prompt, "The prompt; - reads standard input")
      ->required();
  command.add_option("--system", flags->system, "System message");
  command.add_flag("--raw", flags->raw, "Continue the text as it is, without the chat template");
  command.add_flag("--no-thinking", flags->no_thinking,
                   "Ask models that can think first not to (enable_thinking=false)");
  command.add_flag("--json", flags->json, "Print text, token counts and times as one JSON object");
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
