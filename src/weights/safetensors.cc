#include "weights/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "weights/safetensors_header.h"

namespace isotope::weights {
namespace {

/// A file under construction: removed unless published.
class PartialFile {
 public:
  explicit PartialFile(const std::filesystem::path& path) : path_(path), partial_(path) {
    partial_ += fmt::format(".partial-{}", ::getpid());
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) failed("create");
  }
  ~PartialFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!partial_.empty()) ::unlink(partial_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  void write_at(std::int64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) failed("write");
      bytes = bytes.subspan(std::size_t(count));
      offset += count;
    }
  }

  void publish() {
    if (::fsync(fd_) != 0) failed("write");
    if (::close(std::exchange(fd_, -1)) != 0) failed("write");
    if (::rename(partial_.c_str(), path_.c_str()) != 0) failed("rename");
    partial_.clear();
  }

 private:
  [[noreturn]] void failed(std::string_view action) const {
    fail(ErrorCode::invalid_argument, "cannot {} {}: {}", action, partial_.string(),
         std::strerror(errno));
  }

  std::filesystem::path path_, partial_;
  int fd_ = -1;
};

/// Place of a dtype in the reference implementation's layout: widest first, so that each tensor is
/// aligned.
int layout_rank(DType dtype) {
  switch (dtype) {
    case DType::i64:
      return 0;
    case DType::f32:
      return 1;
    case DType::i32:
      return 2;
    case DType::bf16:
      return 3;
    case DType::f16:
      return 4;
    case DType::f8_e4m3:
      return 5;
    case DType::u8:
      return 6;
  }
  assertion_failed("known dtype", __FILE__, __LINE__);
}

std::int64_t bytes_of(const TensorPlan& tensor) {
  return tensor.shape.elements() * std::int64_t(size_of(tensor.dtype));
}

/// Offsets of all tensors relative to the data, indexed like `plan`, and the header that says so.
struct Layout {
  std::vector<std::int64_t> offsets;
  std::string header;
};

Layout lay_out(std::span<const TensorPlan> plan,
               const std::map<std::string, std::string>& metadata) {
  std::vector<std::size_t> order(plan.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::pair(layout_rank(plan[a].dtype), std::string_view(plan[a].name)) <
           std::pair(layout_rank(plan[b].dtype), std::string_view(plan[b].name));
  });
  Layout layout{.offsets = std::vector<std::int64_t>(plan.size()), .header = {}};
  json::object entries;
  if (!metadata.empty()) {
    json::object& object = entries["__metadata__"].emplace_object();
    for (const auto& [key, value] : metadata) object[key] = value;
  }
  std::int64_t end = 0;
  for (const std::size_t i : order) {
    layout.offsets[i] = end;
    end = checked_add(end, bytes_of(plan[i]), plan[i].name);
    json::object& entry = entries[plan[i].name].emplace_object();
    entry["dtype"] = safetensors_name(plan[i].dtype);
    json::array& shape = entry["shape"].emplace_array();
    for (int d = 0; d < plan[i].shape.rank(); ++d) shape.push_back(plan[i].shape[d]);
    entry["data_offsets"] = {layout.offsets[i], end};
  }
  ISOTOPE_ASSERT(entries.size() == plan.size() + (metadata.empty() ? 0 : 1));  // no name twice
  layout.header = json::serialize(entries);
  layout.header.resize(round_up(layout.header.size(), std::size_t(8)), ' ');
  return layout;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  SafetensorsHeader header = parse_safetensors_header(file_.bytes(), path.string());
  const auto data = file_.bytes().subspan(std::size_t(header.data_offset));
  for (SafetensorsEntry& entry : header.entries) {
    SafetensorsView found = view_of(entry, data);
    if (found.problem.empty())
      tensors_.emplace(std::move(entry.name), found.view);
    else
      unsupported_.emplace(std::move(entry.name), std::move(found.problem));
  }
  metadata_ = std::move(header.metadata);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorPlan> plan,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& produce) {
  const Layout layout = lay_out(plan, metadata);
  const std::uint64_t length = layout.header.size();
  const auto data_begin = std::int64_t(sizeof length + length);
  PartialFile file(path);
  file.write_at(0, std::as_bytes(std::span(&length, 1)));
  file.write_at(sizeof length, std::as_bytes(std::span(layout.header)));
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::span<const std::byte> bytes = produce(i);
    ISOTOPE_ASSERT(std::int64_t(bytes.size()) == bytes_of(plan[i]));
    file.write_at(data_begin + layout.offsets[i], bytes);
  }
  file.publish();
}

}  // namespace isotope::weights
