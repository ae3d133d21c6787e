#include "tests/gpu/emulated_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/gpu/executor.h"

namespace isotope::emulated {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;
constexpr std::size_t kMostFilled = std::size_t(16) << 20;
/// So much freed memory stays closed: use after free faults.
constexpr std::size_t kMostFreed = 512;
constexpr unsigned char kSentinel = 0xa5;

std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace

void fill_bytes(void* target, unsigned char value, std::size_t bytes) {
  auto* first = static_cast<unsigned char*>(target);
  const auto address = reinterpret_cast<std::uintptr_t>(first);
  const std::size_t before = round_up(address, kPage) - address;
  if (value == 0 && bytes >= before + kMostFilled) {
    const std::size_t pages = (bytes - before) / kPage * kPage;
    if (madvise(first + before, pages, MADV_DONTNEED) == 0) {
      std::memset(first, 0, before);
      first += before + pages;
      bytes -= before + pages;
    }
  }
  std::memset(first, value, bytes);
}

Memory::Memory() : total_(executor().memory_bytes()) {
  if (const char* mib = std::getenv("ISOTOPE_EMULATED_MEMORY"))
    total_ = std::size_t(std::strtoull(mib, nullptr, 10)) << 20;
}

void* Memory::allocate(std::size_t bytes, bool pinned) {
  const std::size_t counted = round_up(bytes, kAlignment);
  if (bytes > total_ * 16 || (!pinned && counted > total_ - used_)) return nullptr;
  const std::size_t open = round_up(bytes, kPage), mapped_bytes = open + 2 * kPage;
  auto* mapped = static_cast<unsigned char*>(
      mmap(nullptr, mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (mapped == MAP_FAILED) return nullptr;
  unsigned char *first = mapped + kPage, *end = first + open;
  if (mprotect(first, open, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapped, mapped_bytes);
    return nullptr;
  }
  // Page-locked memory begins with a page, device memory ends with one.
  unsigned char* data = pinned ? first : end - counted;
  std::memset(first, kSentinel, std::size_t(data - first));
  std::memset(data + bytes, kSentinel, std::size_t(end - data) - bytes);
  std::memset(data, 0xff, std::min(bytes, kMostFilled));
  live_[data] = {bytes, pinned, mapped, mapped_bytes};
  if (!pinned) used_ += counted;
  return data;
}

std::string Memory::damage(const unsigned char* data, const Allocation& allocation) const {
  const unsigned char* first = allocation.mapped + kPage;
  const unsigned char* end = allocation.mapped + allocation.mapped_bytes - kPage;
  const auto written = [](unsigned char byte) { return byte != kSentinel; };
  const unsigned char* wrong = std::find_if(first, data, written);
  if (wrong == data) wrong = std::find_if(data + allocation.bytes, end, written);
  return wrong == end ? "" : "something was written beside an allocation" + describe(wrong);
}

std::string Memory::free(void* data, bool pinned) {
  const auto found = live_.find(static_cast<unsigned char*>(data));
  if (found == live_.end() || found->second.pinned != pinned)
    return "freeing what was not allocated" + describe(data);
  const Allocation allocation = found->second;
  const std::string wrong = damage(found->first, allocation);
  if (!pinned) used_ -= round_up(allocation.bytes, kAlignment);
  mmap(allocation.mapped, allocation.mapped_bytes, PROT_NONE,
       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  freed_.emplace_back(found->first, allocation);
  live_.erase(found);
  if (freed_.size() > kMostFreed) {
    munmap(freed_.front().second.mapped, freed_.front().second.mapped_bytes);
    freed_.pop_front();
  }
  return wrong;
}

Memory::Map::const_iterator Memory::at_or_before(const void* address) const {
  auto found = live_.upper_bound(static_cast<const unsigned char*>(address));
  return found == live_.begin() ? live_.end() : std::prev(found);
}

bool Memory::begins_inside(const void* data, bool pinned) const { return inside(data, 1, pinned); }

bool Memory::inside(const void* data, std::size_t bytes, bool pinned) const {
  const auto found = at_or_before(data);
  if (found == live_.end() || found->second.pinned != pinned) return false;
  const auto offset = std::size_t(static_cast<const unsigned char*>(data) - found->first);
  return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

std::string Memory::describe(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  const auto text = [&](const unsigned char* data, const Allocation& allocation, const char* kind) {
    return ", byte " + std::to_string(byte - data) + " of " + kind + " of " +
           std::to_string(allocation.bytes) + " bytes";
  };
  const auto within = [&](const Allocation& allocation) {
    return byte >= allocation.mapped && byte < allocation.mapped + allocation.mapped_bytes;
  };
  for (const auto& [data, allocation] : live_)
    if (within(allocation))
      return text(data, allocation, allocation.pinned ? "page-locked memory" : "an allocation");
  for (const auto& [data, allocation] : freed_)
    if (within(allocation)) return text(data, allocation, "a freed allocation");
  return "";
}

}  // namespace isotope::emulated
