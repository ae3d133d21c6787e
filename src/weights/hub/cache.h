// The cache folder of huggingface_hub, which other programs read and fill at the same time:
//   models--org--name/blobs/ETAG                          contents
//   models--org--name/snapshots/COMMIT/FILE → blobs/ETAG  revisions
//   models--org--name/refs/REVISION                       the commit behind a branch or tag
//   .locks/models--org--name/ETAG.lock                    held while a blob is written
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "weights/hub/client.h"

namespace isotope::weights::hub {

/// A lock between processes (flock), released on destruction or with the process.
class FileLock {
 public:
  /// Waits; says so once it takes long.
  explicit FileLock(const std::filesystem::path& path, std::string_view what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

class RepositoryCache {
 public:
  RepositoryCache(const std::filesystem::path& cache, const std::string& repo);

  std::filesystem::path folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path lock(const std::string& etag) const;
  std::filesystem::path snapshot(const std::string& commit) const;

  /// The commit of a branch, tag or (full) commit as last seen; it need not be complete.
  std::optional<std::string> commit_of(const std::string& revision) const;
  bool has_blob(const FileInfo& file) const;

  /// Makes the folders; Errors: unavailable with the system's reason.
  void prepare() const;
  /// Each of these appears whole, or not at all.
  void link(const std::string& commit, const FileInfo& file) const;
  void set_ref(const std::string& revision, const std::string& commit) const;

 private:
  std::filesystem::path cache_, folder_;
};

/// What keeps a snapshot from being served: the first missing file, or nothing.
std::optional<std::string> missing_file(const std::filesystem::path& snapshot);

struct CachedModel {
  std::string name;
  std::filesystem::path folder;
  std::uintmax_t bytes = 0;  ///< of the contents that are complete
  std::vector<std::string> revisions;
};
std::vector<CachedModel> cached_models(const std::filesystem::path& cache);

}  // namespace isotope::weights::hub
