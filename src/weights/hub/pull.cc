#include "weights/hub/pull.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "weights/hub/blob_download.h"
#include "weights/hub/cache.h"

namespace isotope::weights::hub {
namespace {

namespace fs = std::filesystem;

void check_selection(const Repository& repository, const Listing& listing,
                     const std::vector<std::string>& files, const Selection& selection) {
  const auto has_suffix = [](const std::vector<std::string>& names, std::string_view suffix) {
    return std::any_of(names.begin(), names.end(),
                       [suffix](const std::string& name) { return name.ends_with(suffix); });
  };
  if (files.empty())
    fail(ErrorCode::not_found, "{} has {} files, and none of them is selected; {}", repository.name,
         listing.files.size(),
         selection.include.empty() ? "--all takes every file" : "see --include and --exclude");
  if (!selection.include.empty() || !selection.exclude.empty() || selection.all) return;
  if (has_suffix(files, ".safetensors")) return;
  const char* other = has_suffix(listing.files, ".gguf")  ? "GGUF files"
                      : has_suffix(listing.files, ".bin") ? "PyTorch files"
                                                          : "no weights";
  fail(ErrorCode::unsupported,
       "{} has {} and no safetensors, which are what isotope loads; look for the original "
       "repository, or use --all to download it nevertheless",
       repository.name, other);
}

/// Before the first byte, so that a long download does not end in a full disk.
void check_space(const RepositoryCache& cache, std::int64_t needed) {
  std::error_code error;
  const fs::space_info space = fs::space(cache.folder(), error);
  if (error || space.available >= std::uintmax_t(needed)) return;
  constexpr double kGiB = 0x1p30;
  fail(ErrorCode::unavailable,
       "{} has {:.2f} GiB free, and {:.2f} GiB are still to be downloaded: make room, or set "
       "HF_HUB_CACHE to another disk",
       cache.folder().string(), double(space.available) / kGiB, double(needed) / kGiB);
}

/// Disk space that a partial file takes already; it may have holes.
std::int64_t bytes_on_disk(const RepositoryCache& cache, const FileInfo& file) {
  struct stat status {};
  const std::string path = cache.blob(file.etag).string() + kPartialSuffix;
  if (::stat(path.c_str(), &status) != 0) return 0;
  constexpr std::int64_t kStatBlock = 512;
  return std::min(std::int64_t(status.st_blocks) * kStatBlock, file.size);
}

Pulled pull_offline(const Settings& settings, const Repository& repository) {
  const RepositoryCache cache(settings.cache, repository.name);
  const auto commit = cache.commit_of(repository.revision);
  if (!commit)
    fail(ErrorCode::not_found,
         "{} (revision {}) is not in {}, and downloads are switched off (HF_HUB_OFFLINE or "
         "--offline)",
         repository.name, repository.revision, settings.cache.string());
  const fs::path folder = cache.snapshot(*commit);
  if (const auto missing = missing_file(folder))
    fail(ErrorCode::not_found,
         "{} has no {}, and downloads are switched off (HF_HUB_OFFLINE or --offline)",
         folder.string(), *missing);
  return {.folder = folder, .commit = *commit};
}

}  // namespace

Pulled pull(const Settings& settings, const Repository& repository, const PullOptions& options) {
  check_repo_id(repository.name);
  check_revision(repository.revision);
  if (settings.offline) return pull_offline(settings, repository);
  HubClient client(settings, repository);
  const Listing listing = client.list();
  const std::vector<std::string> names = select_files(listing.files, options.files);
  check_selection(repository, listing, names, options.files);
  const RepositoryCache cache(settings.cache, repository.name);
  cache.prepare();
  std::vector<FileInfo> files;
  std::int64_t total = 0, needed = 0;
  for (const std::string& name : names) {
    files.push_back(client.describe(listing.commit, name));
    const FileInfo& file = files.back();
    total = checked_add(total, file.size, "size of the repository");
    if (!cache.has_blob(file)) needed += file.size - bytes_on_disk(cache, file);
  }
  check_space(cache, needed);
  // Small files first: a mistake in them shows before the long wait.
  std::stable_sort(files.begin(), files.end(),
                   [](const FileInfo& a, const FileInfo& b) { return a.size < b.size; });
  Pulled pulled{.folder = cache.snapshot(listing.commit), .commit = listing.commit, .bytes = total};
  std::int64_t finished = 0;
  for (const FileInfo& file : files) {
    if (!cache.has_blob(file)) {
      download_blob(settings, repository, cache, listing.commit, file,
                    [&](std::int64_t present, std::string_view what) {
                      if (options.progress) options.progress(finished + present, total, what);
                    });
      pulled.downloaded += file.size;
    }
    cache.link(listing.commit, file);
    finished += file.size;
    if (options.progress) options.progress(finished, total, file.name);
  }
  // Last, so that the revision stays at the complete state before as long as there is one.
  cache.set_ref(repository.revision, listing.commit);
  return pulled;
}

std::optional<fs::path> find_in_cache(const Settings& settings, const Repository& repository) {
  check_repo_id(repository.name);
  check_revision(repository.revision);
  const RepositoryCache cache(settings.cache, repository.name);
  const auto commit = cache.commit_of(repository.revision);
  if (!commit || missing_file(cache.snapshot(*commit))) return std::nullopt;
  return cache.snapshot(*commit);
}

}  // namespace isotope::weights::hub
