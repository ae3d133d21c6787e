// isotope chat: a conversation in the terminal.
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/interrupt_guard.h"
#include "cli/line_editor.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/terminal_answer.h"

namespace isotope::cli {
namespace {

constexpr const char* kCommands =
    "/reset  start over      /system TEXT  set the system message and start over\n"
    "/stats  of the last answer      /help      /exit (or Ctrl-D)\n"
    "Ctrl-C stops an answer.\n";

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
  bool no_thinking = false;
};

class Chat {
 public:
  Chat(server::ServedModel& model, const ChatFlags& flags)
      : model_(model), flags_(flags), system_(flags.system) {
    reset();
  }

  void loop() {
    LineEditor editor("> ");
    std::string line;
    for (;;) {
      switch (editor.read(line)) {
        case LineEditor::Result::end:
          std::cout << "\n";
          return;
        case LineEditor::Result::interrupted:
          InterruptGuard::interrupted();
          std::cout << "\n(/exit or Ctrl-D leaves)\n";
          continue;
        case LineEditor::Result::line:
          break;
      }
      if (line == "/exit" || line == "/quit") return;
      if (line.starts_with("/"))
        command(line);
      else if (line.find_first_not_of(" \t") != std::string::npos)
        answer(line);
    }
  }

 private:
  void reset() {
    messages_.clear();
    if (!system_.empty()) messages_.push_back(message("system", system_));
  }

  void command(const std::string& line) {
    if (line == "/reset") {
      reset();
      std::cout << "(new conversation)\n";
    } else if (line.starts_with("/system")) {
      const std::size_t begin = line.find_first_not_of(' ', std::string_view("/system").size());
      system_ = begin == std::string::npos ? "" : line.substr(begin);
      reset();
      std::cout << "(new conversation" << (system_.empty() ? "" : " with that system message")
                << ")\n";
    } else if (line == "/stats") {
      std::cout << (stats_.empty() ? "(no answer yet)" : stats_) << "\n";
    } else {
      std::cout << kCommands;
    }
  }

  /// One turn. What fails (a prompt longer than the context, say) leaves the conversation as it
  /// was.
  void answer(const std::string& line) {
    messages_.push_back(message("user", line));
    try {
      engine::Request request{.id = "chat",
                              .prompt = chat_prompt(model_, messages_, !flags_.no_thinking)};
      server::GenerationOptions options = flags_.sampling.over(model_.default_sampling);
      const std::int64_t room =
          model_.engine->info().max_model_len - std::int64_t(request.prompt.size());
      if (options.sampling.max_tokens == 0 || options.sampling.max_tokens > room)
        options.sampling.max_tokens = std::max<std::int64_t>(1, room);
      server::Generation generation(model_, std::move(request), options);
      const TerminalAnswer answer = stream_answer(generation, true);
      std::cout << (answer.interrupted ? " (stopped)\n" : "\n") << std::flush;
      if (generation.finish_reason() == engine::FinishReason::error)
        fail(ErrorCode::internal, "{}", generation.error());
      messages_.push_back(message("assistant", answer.text));
      stats_ = fmt::format(
          "{} prompt tokens ({} from the cache), {} new; first token after {:.0f} ms, then {:.1f} "
          "tokens/s",
          generation.prompt_tokens(), generation.cached_tokens(), generation.completion_tokens(),
          generation.ttft() * 1e3, generation.tpot() > 0 ? 1 / generation.tpot() : 0.0);
    } catch (const Error& error) {
      messages_.pop_back();
      std::cout << "(" << error.what() << "; /reset starts over)\n";
    }
  }

  server::ServedModel& model_;
  const ChatFlags& flags_;
  std::string system_;
  json::array messages_;
  std::string stats_;
};

int run(ChatFlags& flags) {
  const auto model = flags.model.load();
  if (!model->chat_template)
    fail(ErrorCode::unsupported, "{} has no chat template; give one with --chat-template FILE",
         model->name);
  const InterruptGuard guard;
  std::cout << model->name << " on " << model->engine->info().device << ". /help lists commands.\n";
  Chat(*model, flags).loop();
  return 0;
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("chat", "Talk with a model in the terminal");
  const auto flags = std::make_shared<ChatFlags>();
  flags->model.add_to(command);
  flags->sampling.add_to(command);
  command.add_option("--system", flags->system, "System message");
  command.add_flag("--no-thinking", flags->no_thinking,
                   "Ask models that can think first not to (enable_thinking=false)");
  command.footer(kCommands);
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
