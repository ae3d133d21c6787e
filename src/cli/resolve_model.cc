#include "cli/resolve_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/progress.h"

namespace isotope::cli {

namespace fs = std::filesystem;
namespace hub = weights::hub;

hub::Pulled pull_with_progress(const hub::Settings& settings, const hub::Repository& repository,
                               const hub::Selection& files) {
  std::signal(SIGXFSZ, SIG_IGN);
  ProgressBar bar("Downloading", ProgressBar::Unit::bytes);
  return hub::pull(settings, repository,
                   {.files = files,
                    .progress = [&bar](std::int64_t done, std::int64_t total,
                                       std::string_view what) { bar.update(done, total, what); }});
}

namespace {

constexpr std::size_t kMaxNeighbours = 5;  // that a message names

/// "there is no folder models/c (models holds a, b)"
std::string missing_folder(const fs::path& model) {
  std::error_code error;
  const fs::path parent = model.parent_path();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(parent, error))
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  const bool more = names.size() > kMaxNeighbours;
  names.resize(std::min(names.size(), kMaxNeighbours));
  if (more) names.emplace_back("…");
  std::string text = fmt::format("there is no folder {}", model.string());
  if (!names.empty())
    text += fmt::format(" ({} holds {})", parent.string(), fmt::join(names, ", "));
  return text;
}

}  // namespace

fs::path resolve_model(const fs::path& model, const std::string& revision) {
  std::error_code error;
  const std::string name = model.string();
  // A lone word or a path of several folders is a folder that is missing, not a repository.
  const bool org_and_name = hub::is_repo_id(name) && name.find('/') != name.npos;
  if (fs::exists(model, error)) return model;
  if (!org_and_name)
    fail(ErrorCode::not_found, "{}; models of the hub are named org/name", missing_folder(model));
  const hub::Settings settings = hub::settings_from_environment();
  const hub::Repository repository{.name = name, .revision = revision.empty() ? "main" : revision};
  if (const auto folder = hub::find_in_cache(settings, repository)) return *folder;
  if (!settings.offline)
    log_info("hub", "{} is neither a folder here nor in {}: downloading it from {}", name,
             settings.cache.string(), settings.endpoint);
  try {
    return pull_with_progress(settings, repository, {}).folder;
  } catch (const Error& failure) {
    // Where there is a folder called org, the name may be a misspelled path.
    if (!fs::is_directory(model.parent_path(), error)) throw;
    fail(failure.code(), "{}, and as a name at the hub: {}", missing_folder(model), failure.what());
  }
}

}  // namespace isotope::cli
