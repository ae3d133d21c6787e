// isotope serve: the OpenAI-compatible server.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <map>

#include "base/log.h"
#include "cli/choice_flag.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/parser_flags.h"
#include "cli/version.h"
#include "server/server.h"

namespace isotope::cli {
namespace {

struct ServeFlags {
  ModelFlags model;
  ParserFlags parsers;
  server::ServerOptions server;
};

constexpr int kMaxWords = 1024;  // of one flag

const std::map<std::string, engine::SchedulingPolicy> kPolicies = {
    {"fcfs", engine::SchedulingPolicy::fcfs}, {"priority", engine::SchedulingPolicy::priority}};

void log_plan(const engine::EngineInfo& info) {
  log_info("engine", "{} on {}: {} of weights, {} of KV cache ({}, {} tokens), {} of workspace",
           info.family, info.device, format_bytes(info.weight_bytes), format_bytes(info.kv_bytes),
           info.kv_dtype, info.num_kv_blocks * info.block_size, format_bytes(info.workspace_bytes));
  if (info.skipped_tensors > 0)
    log_info("weights", "skipped {} tensors of parts that are not served (vision)",
             info.skipped_tensors);
}

/// HOST:PORT as URLs have it.
std::string authority(const std::string& host, int port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

int run(ServeFlags& flags) {
  if (flags.server.api_keys.empty())
    if (const char* key = std::getenv("ISOTOPE_API_KEY"); key && *key)
      flags.server.api_keys.emplace_back(key);
  flags.server.version = kVersion;
  std::unique_ptr<server::ServedModel> model;  // outlives the server
  server::Server server(flags.server);
  const std::string address = authority(flags.server.host, server.port());
  log_info("server", "listening on {}; /ready tells when the model is loaded", address);
  model = flags.model.load();
  flags.parsers.apply(*model);
  log_plan(model->engine->info());
  server.begin(*model);
  std::cout << "Serving " << model->name << " on http://" << address
            << (flags.server.web_page ? " (open it in a browser to chat)" : "") << std::endl;
  server.run();
  return 0;
}

/// Several words, or a JSON list of them as vLLM wants it: CLI11 takes that apart, but for the
/// quotes.
void add_words(CLI::App& command, const std::string& name, std::vector<std::string>& words,
               const std::string& help) {
  command.add_option(name, words, help)
      ->expected(1, kMaxWords)
      ->transform([](std::string word) {
        CLI::detail::trim(word);
        return CLI::detail::remove_quotes(word);
      })
      ->type_name("WORD ...");
}

void add_access_flags(CLI::App& command, server::ServerOptions& server) {
  command
      .add_option("--api-key", server.api_keys,
                  "Keys, one of which requests must bring (or ISOTOPE_API_KEY)")
      ->expected(1, kMaxWords)
      ->type_name("KEY ...");
  add_words(command, "--allowed-origins", server.cors.allowed_origins,
            "Origins whose web pages may use the server, such as http://localhost:3000, or * "
            "(default: none)");
  add_words(command, "--allowed-methods", server.cors.allowed_methods,
            "Methods that pages of these origins may use (default: *)");
  add_words(command, "--allowed-headers", server.cors.allowed_headers,
            "Header fields that they may send (default: *)");
  command.add_flag("--allow-credentials", server.cors.allow_credentials,
                   "They may send cookies and the like");
  command.add_option("--root-path", server.root_path,
                     "What a reverse proxy puts in front of all paths, such as /llm");
}

void add_limit_flags(CLI::App& command, ServeFlags& flags) {
  server::ServerOptions& server = flags.server;
  add_choice(command, "--scheduling-policy", flags.model.engine.scheduling_policy, kPolicies,
             "Who comes first: earlier requests (fcfs, the default), or those with a lower "
             "\"priority\"");
  const auto count = [&](const std::string& name, auto& value, const std::string& help) {
    command.add_option(name, value, help)->capture_default_str()->check(CLI::NonNegativeNumber);
  };
  count("--max-queue-requests", server.queue.requests,
        "Answers that may wait for a place in the batch; more get status 429 (0: no limit)");
  count("--max-queue-tokens", server.queue.tokens,
        "Tokens of prompts and max_tokens that may wait likewise (0: no limit)");
  count("--request-timeout", server.request_timeout,
        "Seconds after which a request ends in any case; \"timeout\" may ask for less (0: never)");
  command.add_option("--max-connections", server.max_connections, "Connections at a time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      .add_option("--header-timeout", server.header_seconds,
                  "Seconds that a client may take to send the header of a request")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      .add_option(
          "--stream-ping-interval", server.ping_seconds,
          "Seconds of silence after which a stream sends a comment, so that proxies keep it "
          "(0: never)")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86400.0));
  command
      .add_option("--max-stream-buffer", server.max_stream_buffer,
                  "Bytes of a stream that its client may leave unread before it is cancelled")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void add_log_flags(CLI::App& command) {
  command
      .add_option_function<std::string>(
          "--log-format",
          [](const std::string& name) {
            set_log_format(name == "json" ? LogFormat::json : LogFormat::text);
          },
          "Log lines for people (text), or a JSON object each (json)")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("serve", "Serve a model over the OpenAI protocol");
  command.footer(R"(
Examples:
  isotope serve --model Qwen/Qwen3-8B-FP8 --device hip --kv-cache-dtype fp8
  isotope serve --model DIR --served-model-name local --host 0.0.0.0 --api-key KEY)");
  const auto flags = std::make_shared<ServeFlags>();
  flags->model.add_to(command);
  flags->parsers.add_to(command);
  command.add_option("--host", flags->server.host, "Address to listen on")->capture_default_str();
  command.add_option("--port", flags->server.port, "Port (0: any free one)")->capture_default_str();
  command.get_option("--served-model-name")->expected(1, kMaxWords);
  add_access_flags(command, flags->server);
  command.add_flag("!--no-web-page", flags->server.web_page, "Serve no chat page at /");
  add_limit_flags(command, *flags);
  add_log_flags(command);
  command
      .add_option("--shutdown-timeout", flags->server.shutdown_seconds,
                  "Seconds that running requests may take to finish after SIGTERM")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
