#include "weights/hub/blob_download.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "weights/hub/blob_hash.h"
#include "weights/hub/partial_file.h"

namespace isotope::weights::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kConnections = 8;
constexpr std::size_t kHashBytes = std::size_t(4) << 20;

/// The connections of one file: each takes the next part that is missing. The first failure stops
/// all of them.
class PartFetchers {
 public:
  PartFetchers(const Settings& settings, const Repository& repository, const std::string& commit,
               const FileInfo& file, PartialFile& partial)
      : settings_(settings),
        repository_(repository),
        commit_(commit),
        file_(file),
        partial_(partial) {
    std::size_t missing = 0;
    for (std::size_t i = 0; i < partial.num_parts(); ++i) {
      const PartialFile::Part part = partial.part(i);
      missing += part.first <= part.last;
    }
    running_ = std::min(kConnections, missing);
    for (std::size_t i = running_; i > 0; --i) threads_.emplace_back([this] { run(); });
  }

  ~PartFetchers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  /// Whether all have ended, after waiting a moment for it.
  bool wait_a_moment() {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, std::chrono::milliseconds(50), [this] { return running_ == 0; });
  }

  /// Once all have ended: what the first to fail threw.
  std::exception_ptr failure() const { return failure_; }

 private:
  void run() {
    try {
      HubClient client(settings_, repository_);
      for (;;) {
        const std::size_t index = next_++;
        if (index >= partial_.num_parts() || stop_) break;
        const PartialFile::Part part = partial_.part(index);
        if (part.first > part.last) continue;
        client.read(
            commit_, file_, part.first, part.last,
            [this](std::int64_t offset, std::span<const std::byte> bytes) {
              partial_.write(offset, bytes);
            },
            stop_);
      }
    } catch (const HubClient::Stopped&) {
      // Another has failed, and says why.
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      stop_ = true;
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  const Settings& settings_;
  const Repository& repository_;
  const std::string& commit_;
  const FileInfo& file_;
  PartialFile& partial_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t running_ = 0;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

/// Hashes the part of the file that is there without a gap, following the download.
class PrefixHash {
 public:
  PrefixHash(const FileInfo& file, const PartialFile& partial)
      : hash_(file.etag, file.size), partial_(partial), buffer_(kHashBytes) {}

  /// Takes at most one piece; whether there was one.
  bool advance() {
    const std::int64_t bytes = std::min(partial_.prefix() - hashed_, std::int64_t(buffer_.size()));
    if (bytes <= 0) return false;
    const auto piece = std::span(buffer_).first(std::size_t(bytes));
    partial_.read(hashed_, piece);
    hash_.update(piece);
    hashed_ += bytes;
    return true;
  }
  std::string finish() { return hash_.finish(); }

 private:
  BlobHash hash_;
  const PartialFile& partial_;
  std::vector<std::byte> buffer_;
  std::int64_t hashed_ = 0;
};

class BlobDownload {
 public:
  BlobDownload(const Settings& settings, const Repository& repository, const std::string& commit,
               const FileInfo& file, PartialFile& partial, const BlobProgress& progress)
      : settings_(settings),
        repository_(repository),
        commit_(commit),
        file_(file),
        partial_(partial),
        progress_(progress) {}

  /// Fetches what is missing; whether the content is what the ETag promises.
  bool run() {
    PrefixHash hash(file_, partial_);
    try {
      fetch_parts(hash);
    } catch (const HubClient::RangeIgnored&) {
      log_info("hub", "{}: the server sends no ranges; one connection from the start", file_.name);
      hash_is_stale_ = true;
      fetch_whole();
    }
    std::optional<PrefixHash> again;
    if (hash_is_stale_) again.emplace(file_, partial_);
    PrefixHash& whole = again ? *again : hash;
    while (whole.advance()) progress_(partial_.present(), "verifying");
    const std::string checksum = whole.finish();
    return partial_.present() == file_.size && (checksum.empty() || checksum == file_.etag);
  }

 private:
  void fetch_parts(PrefixHash& hash) {
    PartFetchers fetchers(settings_, repository_, commit_, file_, partial_);
    while (!fetchers.wait_a_moment()) {
      progress_(partial_.present(), file_.name);
      // As long as there is something to hash, but with an eye on the clock for the progress.
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
      while (std::chrono::steady_clock::now() < until && hash.advance()) {
      }
    }
    if (fetchers.failure()) std::rethrow_exception(fetchers.failure());
  }

  void fetch_whole() {
    HubClient client(settings_, repository_);
    const std::atomic<bool> never = false;
    client.read_whole(
        commit_, file_,
        [this](std::int64_t offset, std::span<const std::byte> bytes) {
          if (offset == 0) partial_.reset();
          partial_.write(offset, bytes);
          progress_(partial_.present(), file_.name);
        },
        never);
  }

  const Settings& settings_;
  const Repository& repository_;
  const std::string& commit_;
  const FileInfo& file_;
  PartialFile& partial_;
  const BlobProgress& progress_;
  bool hash_is_stale_ = false;
};

/// The start that huggingface_hub left, if we have none of our own.
bool adopt_foreign(const fs::path& blob, const fs::path& own) {
  std::error_code error;
  const fs::path foreign = blob.string() + ".incomplete";
  if (fs::exists(own, error) || !fs::is_regular_file(fs::symlink_status(foreign, error)))
    return false;
  fs::rename(foreign, own, error);
  return !error;
}

}  // namespace

void download_blob(const Settings& settings, const Repository& repository,
                   const RepositoryCache& cache, const std::string& commit, const FileInfo& file,
                   const BlobProgress& progress) {
  const FileLock lock(cache.lock(file.etag), file.name);
  if (cache.has_blob(file)) return;
  const fs::path blob = cache.blob(file.etag);
  const fs::path path = blob.string() + kPartialSuffix;
  const bool adopt = adopt_foreign(blob, path);
  PartialFile partial(path, file.size, adopt);
  if (partial.present() > 0)
    log_info("hub", "{}: going on after {} of {} bytes", file.name, partial.present(), file.size);
  // What was there before may be to blame for a wrong checksum, so one fresh start is fair.
  for (int tries = 1; !BlobDownload(settings, repository, commit, file, partial, progress).run();
       ++tries) {
    partial.reset();
    if (tries == 2)
      fail(ErrorCode::corrupt_data,
           "{}: what {} sends has not the checksum {} that it announced; nothing was kept",
           file.name, settings.endpoint, file.etag);
    log_warning("hub", "{}: wrong checksum; downloading it once more", file.name);
  }
  partial.seal();
  std::error_code error;
  fs::rename(path, blob, error);
  if (error) fail(ErrorCode::unavailable, "cannot write {}: {}", blob.string(), error.message());
}

}  // namespace isotope::weights::hub
