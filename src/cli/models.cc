// isotope models: what the cache of downloaded models holds, and room for others.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "weights/hub/cache.h"
#include "weights/hub/names.h"

namespace isotope::cli {
namespace {

namespace hub = weights::hub;

int list() {
  const hub::Settings settings = hub::settings_from_environment();
  const std::vector<hub::CachedModel> models = hub::cached_models(settings.cache);
  std::size_t width = 5;
  for (const hub::CachedModel& model : models) width = std::max(width, model.name.size());
  fmt::print("{:<{}}  {:>10}  {}\n", "MODEL", width, "SIZE", "REVISIONS");
  for (const hub::CachedModel& model : models)
    fmt::print("{:<{}}  {:>10}  {}\n", model.name, width, format_bytes(model.bytes),
               fmt::join(model.revisions, " "));
  fmt::print("{} models in {}\n", models.size(), settings.cache.string());
  return 0;
}

int remove(const std::string& name) {
  hub::check_repo_id(name);
  const hub::Settings settings = hub::settings_from_environment();
  for (const hub::CachedModel& model : hub::cached_models(settings.cache)) {
    if (model.name != name) continue;
    std::error_code error;
    std::filesystem::remove_all(model.folder, error);
    if (error)
      fail(ErrorCode::unavailable, "cannot remove {}: {}", model.folder.string(), error.message());
    fmt::print("Removed {} ({})\n", name, format_bytes(model.bytes));
    return 0;
  }
  fail(ErrorCode::not_found, "{} is not in {}; `isotope models` lists what is", name,
       settings.cache.string());
}

}  // namespace

void add_models(CLI::App& app, Action& action) {
  CLI::App& command =
      *app.add_subcommand("models", "List the downloaded models, or remove one of them");
  command.callback([&action] {
    if (!action) action = list;
  });
  command.add_subcommand("list", "Name, size and revisions (the default)")->callback([&action] {
    action = list;
  });
  CLI::App& removal = *command.add_subcommand("remove", "Delete a model from the cache");
  const auto name = std::make_shared<std::string>();
  removal.add_option("model", *name, "As `isotope models` lists it")
      ->required()
      ->type_name("ORG/NAME");
  removal.callback([name, &action] { action = [name] { return remove(*name); }; });
}

}  // namespace isotope::cli
