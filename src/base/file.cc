#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace isotope {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0)
      fail(ErrorCode::not_found, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  ~FileDescriptor() { ::close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::size_t regular_file_size(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    fail(ErrorCode::not_found, "cannot stat {}: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    fail(ErrorCode::invalid_argument, "{} is not a regular file", path.string());
  return std::size_t(status.st_size);
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const FileDescriptor file(path);
  const std::size_t size = regular_file_size(file, path);
  if (size > max_bytes)
    fail(ErrorCode::invalid_argument, "{} has {} bytes; at most {} are read", path.string(), size,
         max_bytes);
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(file.get(), content.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail(ErrorCode::not_found, "cannot read {}: {}", path.string(), std::strerror(errno));
    if (count == 0) break;  // the file shrank meanwhile
    done += std::size_t(count);
  }
  content.resize(done);
  return content;
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const FileDescriptor file(path);
  size_ = regular_file_size(file, path);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED)
    fail(ErrorCode::out_of_memory, "cannot map {} ({} bytes): {}", path.string(), size_,
         std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::release(std::span<const std::byte> range) const {
  const auto page = std::uintptr_t(::sysconf(_SC_PAGESIZE));
  const auto begin = (std::uintptr_t(range.data()) + page - 1) / page * page;
  const auto end = std::uintptr_t(range.data() + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace isotope
