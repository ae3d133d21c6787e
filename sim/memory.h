// Device memory as simulated code sees it: addresses are the host's, accesses outside of what is allocated are faults.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "sim/wave.h"

namespace isotope::sim {

class Memory {
 public:
  /// [data, data + bytes) may be accessed; `name` for messages.
  void add(const void* data, std::size_t bytes, std::string name, bool writable = true);
  void remove(const void* data);

  /// Bytes to read from or write to, checked. Errors: Fault.
  const u8* readable(u64 address, u32 bytes) const { return at(address, bytes, false); }
  u8* writable(u64 address, u32 bytes) { return at(address, bytes, true); }

 private:
  struct Region {
    std::size_t bytes;
    std::string name;
    bool writable;
  };
  u8* at(u64 address, u32 bytes, bool write) const;
  std::map<u64, Region> regions_;  // by address
};

}  // namespace isotope::sim
