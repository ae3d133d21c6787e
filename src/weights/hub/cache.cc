#include "weights/hub/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "weights/hub/names.h"

namespace isotope::weights::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";

[[noreturn]] void failed(std::string_view action, const fs::path& path, std::string_view reason) {
  fail(ErrorCode::unavailable, "cannot {} {}: {}; HF_HUB_CACHE names another folder", action,
       path.string(), reason);
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) failed("make the folder", path, error.message());
}

/// A name beside `path` that no other process uses.
fs::path temporary_for(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
}

void rename_over(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) failed("write", to, error.message());
}

std::string folder_of(const std::string& repo) {
  std::string name(kPrefix);
  for (const char c : repo) c == '/' ? name += "--" : name += c;
  return name;
}

std::string repo_of(std::string_view folder) {
  folder.remove_prefix(kPrefix.size());
  const std::size_t dashes = folder.find("--");
  if (dashes == folder.npos) return std::string(folder);
  return fmt::format("{}/{}", folder.substr(0, dashes), folder.substr(dashes + 2));
}

/// The shards that an index names.
std::set<std::string> shards_of(const fs::path& index) {
  const json::value value = parse_json_file(index);
  const JsonFields fields(value, index.string());
  std::set<std::string> shards;
  for (const auto& [tensor, file] : fields.child("weight_map").object())
    if (file.is_string()) shards.emplace(file.get_string());
  return shards;
}

}  // namespace

FileLock::FileLock(const fs::path& path, std::string_view what) {
  make_folders(path.parent_path());
  for (;;) {
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (fd_ < 0) failed("open the lock", path, std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) log_info("hub", "{}: another program downloads it; waiting", what);
      while (::flock(fd_, LOCK_EX) != 0)
        if (errno != EINTR) failed("lock", path, std::strerror(errno));
    }
    // Who held it may have removed the file; then the name stands for another lock.
    struct stat held {
    }, named{};
    if (::fstat(fd_, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino && held.st_dev == named.st_dev)
      return;
    ::close(fd_);
  }
}

FileLock::~FileLock() { ::close(fd_); }

RepositoryCache::RepositoryCache(const fs::path& cache, const std::string& repo)
    : cache_(cache), folder_(cache / folder_of(repo)) {}

fs::path RepositoryCache::lock(const std::string& etag) const {
  return cache_ / ".locks" / folder_.filename() / (etag + ".lock");
}

fs::path RepositoryCache::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}

std::optional<std::string> RepositoryCache::commit_of(const std::string& revision) const {
  std::error_code error;
  if (is_commit(revision))
    return fs::is_directory(snapshot(revision), error) ? std::optional(revision) : std::nullopt;
  const fs::path ref = folder_ / "refs" / revision;
  if (!fs::is_regular_file(ref, error)) return std::nullopt;
  std::string commit = read_file(ref, 4096);
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
  return is_commit(commit) ? std::optional(commit) : std::nullopt;
}

bool RepositoryCache::has_blob(const FileInfo& file) const {
  std::error_code error;
  return fs::file_size(blob(file.etag), error) == std::uintmax_t(file.size) && !error;
}

void RepositoryCache::prepare() const {
  for (const char* name : {"blobs", "refs", "snapshots"}) make_folders(folder_ / name);
}

void RepositoryCache::link(const std::string& commit, const FileInfo& file) const {
  const fs::path pointer = snapshot(commit) / file.name;
  make_folders(pointer.parent_path());
  const fs::path target = blob(file.etag).lexically_relative(pointer.parent_path());
  std::error_code error;
  if (fs::is_symlink(pointer, error) && fs::read_symlink(pointer, error) == target) return;
  const fs::path temporary = temporary_for(pointer);
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (error) failed("make the link", pointer, error.message());
  rename_over(temporary, pointer);
}

void RepositoryCache::set_ref(const std::string& revision, const std::string& commit) const {
  if (is_commit(revision)) return;
  const fs::path ref = folder_ / "refs" / revision;
  make_folders(ref.parent_path());
  const fs::path temporary = temporary_for(ref);
  std::ofstream(temporary, std::ios::binary) << commit << std::flush;
  std::error_code error;
  if (fs::file_size(temporary, error) != commit.size() || error)
    failed("write", ref, error ? error.message() : "the disk is full");
  rename_over(temporary, ref);
}

std::optional<std::string> missing_file(const fs::path& snapshot) {
  std::error_code error;
  const auto has = [&](const char* name) { return fs::exists(snapshot / name, error); };
  if (!has("config.json") && !has("params.json")) return "config.json";
  if (!has("tokenizer.json") && !has("tekken.json")) return "tokenizer.json";
  constexpr const char* kIndex = "model.safetensors.index.json";
  if (has(kIndex)) {
    for (const std::string& shard : shards_of(snapshot / kIndex))
      if (!has(shard.c_str())) return shard;
    return std::nullopt;
  }
  if (has("model.safetensors") || has("consolidated.safetensors")) return std::nullopt;
  return "model.safetensors";
}

std::vector<CachedModel> cached_models(const fs::path& cache) {
  std::vector<CachedModel> models;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache, error)) {
    const std::string folder = entry.path().filename().string();
    if (!folder.starts_with(kPrefix) || !entry.is_directory(error)) continue;
    CachedModel model{.name = repo_of(folder), .folder = entry.path(), .bytes = 0, .revisions = {}};
    for (const auto& blob : fs::directory_iterator(entry.path() / "blobs", error))
      if (blob.path().extension() != ".incomplete") {
        const std::uintmax_t bytes = fs::file_size(blob.path(), error);
        if (!error) model.bytes += bytes;
      }
    const fs::path refs = entry.path() / "refs";
    for (const auto& ref : fs::recursive_directory_iterator(refs, error))
      if (ref.is_regular_file(error))
        model.revisions.push_back(ref.path().lexically_relative(refs).string());
    std::sort(model.revisions.begin(), model.revisions.end());
    models.push_back(std::move(model));
  }
  std::sort(models.begin(), models.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return models;
}

}  // namespace isotope::weights::hub
