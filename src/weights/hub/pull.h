// Models of a hub in the local cache: `isotope pull org/name`, and what `--model org/name` means.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "weights/hub/client.h"
#include "weights/hub/names.h"
#include "weights/hub/settings.h"

namespace isotope::weights::hub {

struct PullOptions {
  Selection files;
  /// Bytes of all files, present and wanted, and what is being done.
  std::function<void(std::int64_t present, std::int64_t total, std::string_view what)> progress;
};

struct Pulled {
  std::filesystem::path folder;  ///< the snapshot: a model's folder
  std::string commit;
  std::int64_t bytes = 0;       ///< of the selected files
  std::int64_t downloaded = 0;  ///< of these, in this run
};

/// Asks the hub for the newest state of the revision and downloads what is missing. Settings that
/// are offline: what the cache has, if it is complete. Errors: not_found, invalid_argument
/// (access), unavailable (network, disk; start again to go on), corrupt_data.
Pulled pull(const Settings& settings, const Repository& repository, const PullOptions& options);

/// The snapshot in the cache, if a model can be served from it.
std::optional<std::filesystem::path> find_in_cache(const Settings& settings,
                                                   const Repository& repository);

}  // namespace isotope::weights::hub
