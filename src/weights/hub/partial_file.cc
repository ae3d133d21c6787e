#include "weights/hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::weights::hub {
namespace {

/// In front of the table. The table belongs to a file of this size in parts of this size.
struct Header {
  char magic[8];
  std::int64_t size, part_bytes;
};
constexpr char kMagic[8] = {'I', 'S', 'O', 'P', 'A', 'R', 'T', '1'};

bool write_all(int fd, const void* data, std::size_t bytes, std::int64_t offset) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::pwrite(fd, at, bytes, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    offset += count;
    bytes -= std::size_t(count);
  }
  return true;
}

bool read_all(int fd, void* data, std::size_t bytes, std::int64_t offset) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::pread(fd, at, bytes, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    offset += count;
    bytes -= std::size_t(count);
  }
  return true;
}

}  // namespace

PartialFile::PartialFile(std::filesystem::path path, std::int64_t size, bool adopt)
    : path_(std::move(path)),
      size_(size),
      done_(std::size_t(std::max<std::int64_t>(ceil_div(size, kPartBytes), 1))) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) failed("open");
  struct stat status {};
  if (::fstat(fd_, &status) != 0) failed("examine");
  // The table is cut off once the content was found right, which is then done again.
  if (status.st_size == size_ || (adopt && status.st_size < size_))
    begin(status.st_size);
  else if (!read_table())
    reset();
}

PartialFile::~PartialFile() { ::close(fd_); }

/// Whether there is a table that belongs to this file.
bool PartialFile::read_table() {
  Header header;
  std::vector<std::int64_t> table(done_.size());
  if (!read_all(fd_, &header, sizeof header, size_) ||
      std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.size != size_ ||
      header.part_bytes != kPartBytes ||
      !read_all(fd_, table.data(), table.size() * sizeof table[0], size_ + sizeof header))
    return false;
  std::int64_t present = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i] < 0 || table[i] > part_bytes(i)) return false;
    done_[i] = table[i];
    present += table[i];
  }
  present_ = present;
  return true;
}

void PartialFile::write_table(std::size_t part) {
  const std::int64_t done = done_[part];
  if (!write_all(fd_, &done, sizeof done,
                 size_ + std::int64_t(sizeof(Header) + part * sizeof done)))
    failed("write");
}

void PartialFile::reset() {
  if (::ftruncate(fd_, 0) != 0) failed("empty");
  begin(0);
}

/// A new table that counts the first `present` bytes.
void PartialFile::begin(std::int64_t present) {
  std::vector<std::int64_t> table(done_.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = std::clamp<std::int64_t>(present - std::int64_t(i) * kPartBytes, 0, part_bytes(i));
    done_[i] = table[i];
  }
  present_ = present;
  Header header{.magic = {}, .size = size_, .part_bytes = kPartBytes};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  if (!write_all(fd_, table.data(), table.size() * sizeof table[0], size_ + sizeof header) ||
      !write_all(fd_, &header, sizeof header, size_))
    failed("write");
}

std::int64_t PartialFile::part_bytes(std::size_t part) const {
  return std::min(kPartBytes, size_ - std::int64_t(part) * kPartBytes);
}

PartialFile::Part PartialFile::part(std::size_t index) const {
  const std::int64_t begin = std::int64_t(index) * kPartBytes;
  return {.first = begin + done_[index], .last = begin + part_bytes(index) - 1};
}

void PartialFile::write(std::int64_t offset, std::span<const std::byte> bytes) {
  ISOTOPE_ASSERT(offset >= 0 && std::int64_t(bytes.size()) <= size_ - offset);
  while (!bytes.empty()) {
    const auto index = std::size_t(offset / kPartBytes);
    const std::int64_t within = offset - std::int64_t(index) * kPartBytes;
    const auto piece = bytes.first(std::min(bytes.size(), std::size_t(part_bytes(index) - within)));
    ISOTOPE_ASSERT(done_[index] == within);
    if (!write_all(fd_, piece.data(), piece.size(), offset)) failed("write");
    done_[index] += std::int64_t(piece.size());
    present_ += std::int64_t(piece.size());
    write_table(index);
    offset += std::int64_t(piece.size());
    bytes = bytes.subspan(piece.size());
  }
}

std::int64_t PartialFile::prefix() const {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < done_.size(); ++i) {
    const std::int64_t done = done_[i];
    bytes += done;
    if (done < part_bytes(i)) break;
  }
  return bytes;
}

void PartialFile::read(std::int64_t offset, std::span<std::byte> into) const {
  if (!read_all(fd_, into.data(), into.size(), offset)) failed("read");
}

void PartialFile::seal() {
  if (::ftruncate(fd_, size_) != 0) failed("cut");
  if (::fsync(fd_) != 0) failed("write");
}

void PartialFile::failed(const char* action) const {
  const int code = errno;
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  fail(ErrorCode::unavailable, "cannot {} {}: {}{}", action, path_.string(), std::strerror(code),
       full ? "; make room or set HF_HUB_CACHE to another disk, then run this again to go on" : "");
}

}  // namespace isotope::weights::hub
