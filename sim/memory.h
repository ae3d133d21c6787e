// Device memory as simulated code sees it: addresses are the host's, accesses outside of what is
// allocated are faults, and what nobody has written yet is known.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/findings.h"
#include "sim/shadow.h"
#include "sim/wave.h"

namespace isotope::sim {

class Memory {
 public:
  struct Region {
    u64 begin;
    std::size_t bytes;
    std::string name;
    bool writable;
    std::unique_ptr<Shadow> shadow;  ///< null: all of it is initialised
    std::vector<u32> touched_in;     ///< by lines of 128 bytes: the last launch that has touched it

    bool contains(u64 address, u64 count) const {
      return address - begin < bytes && count <= bytes - (address - begin);
    }
    /// Kernels or copies have written there.
    void mark(u64 address, std::size_t count) {
      if (count == bytes) return shadow.reset();
      shadow->set_range(address - begin, count);
      forget_complete_shadow();
    }
    /// How many lines of these bytes launch number `launch` has not touched before.
    u32 touch_lines(u64 address, u64 count, u32 launch) {
      if (touched_in.empty()) touched_in.resize(bytes / 128 + 2);
      u32 fresh = 0;
      for (u64 line = address / 128 - begin / 128; line <= (address + count - 1) / 128 - begin / 128; ++line) {
        fresh += touched_in[line] != launch;
        touched_in[line] = launch;
      }
      return fresh;
    }
    void forget_complete_shadow() {
      if (shadow->missing() == 0) shadow.reset();
    }
  };

  Checks checks;
  u32 launch = 0;  ///< number of the launch that runs, from 1 on

  // For the owner of allocations.
  /// [data, data + bytes) may be accessed; `name` for messages.
  void add(const void* data, std::size_t bytes, std::string name, bool writable = true,
           bool initialised = true);
  /// Accesses are faults from now on that say what was there.
  void remove(const void* data);
  /// As remove(), for what is there for a launch only and need not be remembered.
  void forget(const void* data);
  /// The host has written there: copies and fills.
  void mark_initialised(const void* data, std::size_t bytes);
  /// Bytes were copied: what was initialised at the source is at the target. Memory that is not
  /// known is initialised.
  void copy_shadow(const void* target, const void* source, std::size_t bytes);

  // For kernels.
  /// The region of all of these bytes, or null. Calls with the same `hint` should mean the same
  /// region: it is tried first.
  Region* find(u64 address, u64 bytes, u32 hint) {
    Region* const tried = tried_first_[hint % tried_first_.size()];
    return tried && tried->contains(address, bytes) ? tried : find_anywhere(address, bytes, hint);
  }
  /// Errors: Fault that says what lies there or next to it.
  Region& at(u64 address, u32 bytes, bool write, u32 hint) {
    Region* const region = find(address, bytes, hint);
    if (!region || (write && !region->writable)) complain(address, bytes, write);
    return *region;
  }
  const u8* readable(u64 address, u32 bytes) {
    return bytes_of(at(address, bytes, false, 0), address);
  }
  u8* writable(u64 address, u32 bytes) { return bytes_of(at(address, bytes, true, 0), address); }

  /// "byte 12 of device memory of 4096 bytes at 0x…"
  static std::string place(const Region& region, u64 address);

 private:
  static u8* bytes_of(Region&, u64 address) { return reinterpret_cast<u8*>(address); }
  Region* find_anywhere(u64 address, u64 bytes, u32 hint);
  /// The last that begins there or before.
  Region* at_or_before(u64 address);
  [[noreturn]] void complain(u64 address, u32 bytes, bool write) const;
  std::string what_lies_at(u64 address) const;

  std::map<u64, Region> regions_;  // by address
  std::array<Region*, 64> tried_first_{};
  std::deque<Region> removed_;  // newest first
};

}  // namespace isotope::sim
