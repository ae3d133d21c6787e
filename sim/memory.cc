#include "sim/memory.h"

#include <fmt/core.h>

namespace isotope::sim {

void Memory::add(const void* data, std::size_t bytes, std::string name, bool writable) {
  regions_[u64(data)] = {bytes, std::move(name), writable};
}
void Memory::remove(const void* data) { regions_.erase(u64(data)); }

u8* Memory::at(u64 address, u32 bytes, bool write) const {
  auto found = regions_.upper_bound(address);
  if (found != regions_.begin()) {
    --found;
    const u64 offset = address - found->first;
    if (offset + bytes <= found->second.bytes && (found->second.writable || !write)) return reinterpret_cast<u8*>(address);
    throw Fault(fmt::format("{} of {} bytes at {:#x}, byte {} of {} ({} bytes)", write ? "a store" : "a load", bytes, address,
                            offset, found->second.name, found->second.bytes),
                Fault::address);
  }
  throw Fault(fmt::format("{} of {} bytes at {:#x}, where nothing is allocated", write ? "a store" : "a load", bytes, address),
              Fault::address);
}

}  // namespace isotope::sim
