// One blob: fetched over several connections, verified by what its name says, then published.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "weights/hub/cache.h"
#include "weights/hub/client.h"

namespace isotope::weights::hub {

/// Behind a blob's name while it is on its way.
inline constexpr const char* kPartialSuffix = ".isotope.incomplete";

/// Gets the bytes of this blob that are there, now and then, and "verifying" or the file's name.
using BlobProgress = std::function<void(std::int64_t present, std::string_view what)>;

/// Afterwards cache.blob(file.etag) is there, with the content that the ETag promises: SHA-256,
/// git's SHA-1 of a blob, or (an ETag of another kind) at least the size. Errors: unavailable,
/// corrupt_data; what came so far stays for the next time.
void download_blob(const Settings& settings, const Repository& repository,
                   const RepositoryCache& cache, const std::string& commit, const FileInfo& file,
                   const BlobProgress& progress);

}  // namespace isotope::weights::hub
