// Files: whole small ones, and large ones mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace isotope {

/// The whole file as bytes. Errors: not_found; invalid_argument if larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes = std::size_t(256)
                                                                                 << 20);

/// A read-only mapping of a file, unmapped on destruction.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  /// Tells the kernel that these pages were read for the last time, so that they stop counting as
  /// resident.
  void release(std::span<const std::byte> range) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace isotope
