#include "sim/memory.h"

#include <fmt/core.h>

#include <algorithm>

namespace isotope::sim {
namespace {

/// So much removed memory is remembered.
constexpr std::size_t kMostRemoved = 1024;

}  // namespace

void Memory::add(const void* data, std::size_t bytes, std::string name, bool writable,
                 bool initialised) {
  tried_first_.fill(nullptr);
  Region& region = regions_[u64(data)];
  region = {u64(data), bytes, std::move(name), writable, nullptr};
  // Its memory was taken into use again.
  std::erase_if(removed_, [&](const Region& old) {
    return old.begin < region.begin + bytes && region.begin < old.begin + old.bytes;
  });
  if (!initialised && bytes > 0) region.shadow = std::make_unique<Shadow>(bytes);
}

void Memory::remove(const void* data) {
  tried_first_.fill(nullptr);
  const auto found = regions_.find(u64(data));
  if (found == regions_.end()) return;
  found->second.shadow.reset();
  removed_.push_front(std::move(found->second));
  regions_.erase(found);
  if (removed_.size() > kMostRemoved) removed_.pop_back();
}

void Memory::forget(const void* data) {
  tried_first_.fill(nullptr);
  regions_.erase(u64(data));
}

Memory::Region* Memory::at_or_before(u64 address) {
  const auto found = regions_.upper_bound(address);
  return found == regions_.begin() ? nullptr : &std::prev(found)->second;
}

Memory::Region* Memory::find_anywhere(u64 address, u64 bytes, u32 hint) {
  Region* const region = at_or_before(address);
  if (!region || !region->contains(address, bytes)) return nullptr;
  return tried_first_[hint % tried_first_.size()] = region;
}

void Memory::mark_initialised(const void* data, std::size_t bytes) {
  Region* const region = at_or_before(u64(data));
  if (!region || !region->shadow || !region->contains(u64(data), 1)) return;
  region->mark(u64(data), std::min<std::size_t>(bytes, region->begin + region->bytes - u64(data)));
}

void Memory::copy_shadow(const void* target, const void* source, std::size_t bytes) {
  Region* const from = at_or_before(u64(source));
  Region* const to = at_or_before(u64(target));
  if (!from || !from->shadow || !from->contains(u64(source), bytes))
    return mark_initialised(target, bytes);
  if (!to || !to->contains(u64(target), bytes)) return;
  if (!to->shadow) {
    if (from->shadow->test_range(u64(source) - from->begin, bytes)) return;
    to->shadow = std::make_unique<Shadow>(to->bytes);
    to->shadow->set_range(0, to->bytes);
  }
  to->shadow->copy_range(u64(target) - to->begin, *from->shadow, u64(source) - from->begin, bytes);
  to->forget_complete_shadow();
}

std::string Memory::place(const Region& region, u64 address) {
  const std::string what =
      fmt::format("{} of {} bytes at {:#x}", region.name, region.bytes, region.begin);
  if (address < region.begin)
    return fmt::format("{} bytes before {}", region.begin - address, what);
  const u64 offset = address - region.begin;
  if (offset >= region.bytes)
    return fmt::format("{} bytes past the end of {}", offset - region.bytes, what);
  return fmt::format("byte {} of {}", offset, what);
}

std::string Memory::what_lies_at(u64 address) const {
  const auto after = regions_.upper_bound(address);
  if (after != regions_.begin() && std::prev(after)->second.contains(address, 1))
    return place(std::prev(after)->second, address);
  for (const Region& region : removed_)
    if (region.contains(address, 1)) return place(region, address) + ", which has been freed";
  const Region* nearest = after == regions_.end() ? nullptr : &after->second;
  if (after != regions_.begin()) {
    const Region& before = std::prev(after)->second;
    if (!nearest || address - (before.begin + before.bytes) < nearest->begin - address)
      nearest = &before;
  }
  return nearest ? place(*nearest, address) : "where nothing is allocated";
}

void Memory::complain(u64 address, u32 bytes, bool write) const {
  std::string text = fmt::format("{} of {} bytes at {:#x}, {}", write ? "a store" : "a load", bytes,
                                 address, what_lies_at(address));
  const auto after = regions_.upper_bound(address);
  if (after != regions_.begin() && std::prev(after)->second.contains(address, 1))
    text += std::prev(after)->second.contains(address, bytes) ? ", which is read-only"
                                                              : ", and beyond its end";
  throw Fault(text, Fault::address);
}

}  // namespace isotope::sim
