// isotope serve: the OpenAI-compatible server.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/version.h"
#include "server/server.h"

namespace isotope::cli {
namespace {

struct ServeFlags {
  ModelFlags model;
  server::ServerOptions server;
};

void log_plan(const engine::EngineInfo& info) {
  log_info("engine", "{} on {}: {} of weights, {} of KV cache ({}, {} tokens), {} of workspace",
           info.family, info.device, format_bytes(info.weight_bytes), format_bytes(info.kv_bytes),
           info.kv_dtype, info.num_kv_blocks * info.block_size, format_bytes(info.workspace_bytes));
  if (info.skipped_tensors > 0)
    log_info("weights", "skipped {} tensors of parts that are not served (vision)",
             info.skipped_tensors);
}

int run(ServeFlags& flags) {
  if (flags.server.api_key.empty())
    if (const char* key = std::getenv("ISOTOPE_API_KEY")) flags.server.api_key = key;
  flags.server.version = kVersion;
  const auto model = flags.model.load();
  log_plan(model->engine->info());
  server::Server server(*model, flags.server);
  std::cout << "Serving " << model->name << " on http://" << flags.server.host << ":"
            << server.port() << std::endl;
  server.run();
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("serve", "Serve a model over the OpenAI protocol");
  const auto flags = std::make_shared<ServeFlags>();
  flags->model.add_to(command);
  command.add_option("--host", flags->server.host, "Address to listen on")->capture_default_str();
  command.add_option("--port", flags->server.port, "Port (0: any free one)")->capture_default_str();
  command.add_option("--api-key", flags->server.api_key,
                     "Key that requests must bring (or ISOTOPE_API_KEY)");
  command
      .add_option("--shutdown-timeout", flags->server.shutdown_seconds,
                  "Seconds that running requests may take to finish after SIGTERM")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
