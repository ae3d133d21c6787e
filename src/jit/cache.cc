#include "jit/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "jit/rtc.h"
#include "jit/sources.h"

namespace isotope::jit {
namespace {

/// In front of every entry's code.
struct Header {
  char magic[8];
  Sha256Digest key;
  std::uint64_t bytes;
  Sha256Digest checksum;  // of the code
};
constexpr char kMagic[8] = {'I', 'S', 'O', 'K', 'E', 'R', 'N', '1'};

bool write_all(int fd, const void* data, std::size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::write(fd, at, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    bytes -= std::size_t(count);
  }
  return true;
}

}  // namespace

Sha256Digest cache_key(const Unit& unit, const SourceMap& sources, const Compiler& compiler,
                       std::string_view arch) {
  Sha256 hash;
  const auto list = [&hash](const std::vector<std::string>& fields) {
    hash.update_field(std::to_string(fields.size()));
    for (const std::string& field : fields) hash.update_field(field);
  };
  list({unit.name, unit.file, compiler.identity(), std::string(arch)});
  list(define_options(unit));
  list(compiler.options(arch));
  for (const auto& [name, text] : include_closure(sources, unit)) {
    hash.update_field(name);
    hash.update_field(text);
  }
  return hash.finish();
}

std::filesystem::path Cache::path_of(const Sha256Digest& key, std::string_view arch) const {
  return folder_ / arch / hex(key);
}

std::optional<CodeObject> Cache::find(const Sha256Digest& key, std::string_view arch) const {
  if (folder_.empty()) return std::nullopt;
  std::string entry;
  try {
    entry = read_file(path_of(key, arch));
  } catch (const Error&) {
    return std::nullopt;
  }
  Header header;
  if (entry.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, entry.data(), sizeof header);
  const auto code = std::as_bytes(std::span(entry)).subspan(sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.key != key ||
      header.bytes != code.size() || header.checksum != sha256(code))
    return std::nullopt;
  return CodeObject(code.begin(), code.end());
}

bool Cache::store(const Sha256Digest& key, std::string_view arch, std::span<const std::byte> code,
                  std::string& reason) const {
  if (folder_.empty()) return true;
  const std::filesystem::path target = path_of(key, arch);
  std::error_code error;
  std::filesystem::create_directories(target.parent_path(), error);
  // A name of its own beside the target, so that renaming it replaces the target in one step.
  std::string temporary = target.string() + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) {
    reason = fmt::format("{}: {}", target.parent_path().string(), std::strerror(errno));
    return false;
  }
  Header header{.key = key, .bytes = code.size(), .checksum = sha256(code)};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  const bool written = write_all(fd, &header, sizeof header) &&
                       write_all(fd, code.data(), code.size()) &&
                       ::rename(temporary.c_str(), target.c_str()) == 0;
  if (!written) {
    reason = fmt::format("{}: {}", target.string(), std::strerror(errno));
    ::unlink(temporary.c_str());
  }
  ::close(fd);
  return written;
}

std::filesystem::path default_cache() {
  if (const std::string named = environment("ISOTOPE_CACHE"); !named.empty()) return named;
  const std::filesystem::path xdg = environment("XDG_CACHE_HOME");
  if (xdg.is_absolute()) return xdg / "isotope" / "kernels";
  const std::filesystem::path home = environment("HOME");
  // Never a folder that others can write to: whoever owns the cache decides what the GPU runs.
  return home.is_absolute() ? home / ".cache" / "isotope" / "kernels" : std::filesystem::path();
}

}  // namespace isotope::jit
