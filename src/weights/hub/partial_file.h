// A file on its way, in parts that may arrive in any order and survive the end of the program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace isotope::weights::hub {

/// The content at its final offsets, followed by a table of how much of each part is there. Bytes
/// are written before the table counts them, so that a program killed at any time goes on where it
/// was. Not safe against loss of power: whoever finishes the file verifies it and calls seal().
class PartialFile {
 public:
  static constexpr std::int64_t kPartBytes = std::int64_t(16) << 20;

  /// Opens or begins the file. One process at a time, which a lock outside sees to. A file without
  /// a table begins anew, unless `adopt`: then it is the start of the content, left by another
  /// program. Errors: unavailable with the system's reason.
  PartialFile(std::filesystem::path path, std::int64_t size, bool adopt = false);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  struct Part {
    std::int64_t first = 0, last = -1;  ///< the bytes still to come
  };
  std::size_t num_parts() const { return done_.size(); }
  Part part(std::size_t index) const;

  /// Any thread; within one part in order, beginning with its first missing byte.
  void write(std::int64_t offset, std::span<const std::byte> bytes);
  /// Forgets all that is there.
  void reset();

  std::int64_t size() const { return size_; }
  std::int64_t present() const { return present_; }  ///< bytes of all parts
  std::int64_t prefix() const;                       ///< bytes from the start without a gap
  /// Bytes of the prefix, as many as fit.
  void read(std::int64_t offset, std::span<std::byte> into) const;
  /// Cuts the table off and waits for the disk; the file may then be renamed.
  void seal();

 private:
  void begin(std::int64_t present);
  bool read_table();
  void write_table(std::size_t part);
  std::int64_t part_bytes(std::size_t part) const;
  [[noreturn]] void failed(const char* action) const;

  std::filesystem::path path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
  std::vector<std::atomic<std::int64_t>> done_;  // bytes of each part
  std::atomic<std::int64_t> present_ = 0;
};

}  // namespace isotope::weights::hub
