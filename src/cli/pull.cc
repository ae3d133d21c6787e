// isotope pull: a model of the hub into the local cache.
#include <CLI/CLI.hpp>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/resolve_model.h"

namespace isotope::cli {
namespace {

namespace hub = weights::hub;

struct PullFlags {
  hub::Repository repository{.name = {}, .revision = "main"};
  hub::Selection files;
  std::string token;
  std::filesystem::path cache;
  bool offline = false;
};

constexpr const char* kFooter = R"(
Examples:
  isotope pull Qwen/Qwen3-8B-FP8
  isotope pull Qwen/Qwen3-8B-FP8 --revision v1.0
  isotope pull org/name --include '*.json' --exclude 'tokenizer*'
  isotope serve --model Qwen/Qwen3-8B-FP8     (pulls too, if need be)

Files are those of huggingface_hub: `hf download` and this share them. An interrupted
download goes on where it was. HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN and
HF_HUB_OFFLINE are respected; docs/models.md explains.)";

int run(const PullFlags& flags) {
  hub::Settings settings = hub::settings_from_environment();
  if (!flags.cache.empty()) settings.cache = flags.cache;
  if (!flags.token.empty()) hub::set_token(settings, flags.token, "--token");
  settings.offline |= flags.offline;
  const hub::Pulled pulled = pull_with_progress(settings, flags.repository, flags.files);
  if (pulled.bytes > 0)
    log_info("hub", "{} at {}: {}, of which {} were downloaded", flags.repository.name,
             pulled.commit.substr(0, 12), format_bytes(std::size_t(pulled.bytes)),
             format_bytes(std::size_t(pulled.downloaded)));
  std::cout << pulled.folder.string() << "\n";
  return 0;
}

}  // namespace

void add_pull(CLI::App& app, Action& action) {
  CLI::App& command =
      *app.add_subcommand("pull", "Download a model from huggingface.co; prints its folder");
  const auto flags = std::make_shared<PullFlags>();
  command.footer(kFooter);
  command.add_option("model", flags->repository.name, "Repository, such as Qwen/Qwen3-8B-FP8")
      ->required()
      ->type_name("ORG/NAME");
  command.add_option("--revision", flags->repository.revision, "Branch, tag or commit")
      ->capture_default_str();
  command
      .add_option("--include", flags->files.include,
                  "Only files of these patterns, such as '*.json' (default: what serving needs)")
      ->type_name("PATTERN");
  command.add_option("--exclude", flags->files.exclude, "Without files of these patterns")
      ->type_name("PATTERN");
  command.add_flag("--all", flags->files.all, "Every file of the repository");
  command
      .add_option("--token", flags->token,
                  "Access token (better: HF_TOKEN or a login by hf, which other users cannot see)")
      ->type_name("TOKEN");
  command.add_option("--cache-dir", flags->cache, "Instead of HF_HUB_CACHE")->type_name("DIR");
  command.add_flag("--offline", flags->offline, "Only look into the cache");
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
