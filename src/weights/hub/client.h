// The hub's protocol: what a repository holds, what a file is, and ranges of its bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weights/hub/http.h"
#include "weights/hub/settings.h"

namespace isotope::weights::hub {

/// What is asked for; it also stands in messages.
struct Repository {
  std::string name;      ///< "org/name"
  std::string revision;  ///< as the user gave it
};

struct Listing {
  std::string commit;
  std::vector<std::string> files;
};

struct FileInfo {
  std::string name;
  std::string etag;  ///< the blob's name: SHA-256 of large files, git's SHA-1 of small ones
  std::int64_t size = 0;
};

/// One connection to a hub. Follows redirects (the token goes to the hub's own origin alone), waits
/// and tries again where that can help, and explains refusals with the step to take.
class HubClient {
 public:
  HubClient(const Settings& settings, Repository repository);

  /// The commit behind the revision, and its files.
  Listing list();
  FileInfo describe(const std::string& commit, const std::string& file);

  /// Bytes [first, last] of a file, in order, once each, across broken connections. `sink` gets
  /// them with their offset. Throws RangeIgnored if the server sends the whole file instead, and
  /// Stopped when `stop` becomes true.
  using Sink = std::function<void(std::int64_t offset, std::span<const std::byte>)>;
  void read(const std::string& commit, const FileInfo& file, std::int64_t first, std::int64_t last,
            const Sink& sink, const std::atomic<bool>& stop);
  /// The whole file from its start, without ranges; after a break `sink` begins again at 0.
  void read_whole(const std::string& commit, const FileInfo& file, const Sink& sink,
                  const std::atomic<bool>& stop);

  struct RangeIgnored {};
  struct Stopped {};

 private:
  struct Goal;
  HttpResponse follow(HttpRequest request, const HttpSession::Sink& sink, const Goal& goal);
  template <typename Attempt>
  void with_retries(const Goal& goal, const Attempt& attempt);
  std::string file_url(const std::string& commit, const std::string& file) const;
  [[noreturn]] void refuse(const HttpResponse& response, const Goal& goal) const;
  [[noreturn]] void refuse_access(const HttpResponse& response) const;

  Settings settings_;
  std::string origin_;
  Repository repository_;
  HttpSession session_;
};

}  // namespace isotope::weights::hub
