#include "cli/resolve_model.h"

#include <csignal>

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

fs::path resolve_model(const fs::path& model, const std::string& revision) {
  std::error_code error;
  const std::string name = model.string();
  // A lone word or a path of several folders is a folder that is missing, not a repository.
  const bool org_and_name = hub::is_repo_id(name) && name.find('/') != name.npos;
  if (fs::exists(model, error) || !org_and_name) return model;
  const hub::Settings settings = hub::settings_from_environment();
  const hub::Repository repository{.name = name, .revision = revision.empty() ? "main" : revision};
  if (const auto folder = hub::find_in_cache(settings, repository)) return *folder;
  if (!settings.offline)
    log_info("hub", "{} is neither a folder here nor in {}: downloading it from {}", name,
             settings.cache.string(), settings.endpoint);
  return pull_with_progress(settings, repository, {}).folder;
}

}  // namespace isotope::cli
