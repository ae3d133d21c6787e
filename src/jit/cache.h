// Code objects on disk. Internal to jit.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/sha256.h"
#include "jit/jit.h"

namespace isotope::jit {

/// Over everything that makes the object: the unit, the text of its file and of all that it
/// includes, the options, the compiler, the arch.
Sha256Digest cache_key(const Unit& unit, const SourceMap& sources, const Compiler& compiler,
                       std::string_view arch);

/// One file an entry. Processes may share the folder: an entry appears whole or not at all.
class Cache {
 public:
  /// An empty path: nothing is kept.
  explicit Cache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path path_of(const Sha256Digest& key, std::string_view arch) const;
  /// Nothing if there is no entry, or one that is truncated, corrupt, or of another key.
  std::optional<CodeObject> find(const Sha256Digest& key, std::string_view arch) const;
  /// False, with the reason, if it cannot be written.
  bool store(const Sha256Digest& key, std::string_view arch, std::span<const std::byte> code,
             std::string& reason) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace isotope::jit
