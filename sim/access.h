// What memory instructions are made of: addresses of 32 lanes become checked pointers (global
// memory, LDS or scratch), and data moves between them and registers.
#pragma once

#include <cstring>

#include "sim/lanes.h"

namespace isotope::sim {

enum class Use : u8 { load, store, atomic };

/// Where each lane accesses: an address or an offset at first, the host's address once resolved.
using Places = std::array<u64, kLanes>;

/// `function(lane)` for the lanes of `mask`.
template <typename Function>
void for_lanes(u32 mask, Function function) {
  if (mask == ~0u) {
    for (int lane = 0; lane < kLanes; ++lane) function(lane);
    return;
  }
  for (; mask; mask &= mask - 1) function(std::countr_zero(mask));
}

// Each checks and counts an access of `bytes` a lane by the lanes of `mask`. Errors: Fault.
void resolve_global(Wave& wave, const Instruction& in, Places& places, u32 mask, u32 bytes,
                    Use use);
void resolve_lds(Wave& wave, const Instruction& in, Places& places, u32 mask, u32 bytes, Use use);
void resolve_scratch(Wave& wave, Places& places, u32 mask, u32 bytes);
const u8* resolve_scalar(Wave& wave, const Instruction& in, u64 address, u32 bytes);

// How a lane's bytes lie in registers.

/// A whole register, extended with zeros or its sign.
template <typename T>
struct Extended {
  static constexpr u32 kBytes = sizeof(T);
  static void load(Wave& wave, int vgpr, const Places& places, u32 mask) {
    u32* const to = wave.vgpr[std::size_t(vgpr)].data();
    for_lanes(mask, [&](int lane) {
      T value;
      std::memcpy(&value, reinterpret_cast<const u8*>(places[std::size_t(lane)]), sizeof(T));
      to[lane] = u32(i32(value));
    });
  }
  static void store(const Wave& wave, int vgpr, const Places& places, u32 mask) {
    const u32* const from = wave.vgpr[std::size_t(vgpr)].data();
    for_lanes(mask, [&](int lane) {
      const T value = T(from[lane]);
      std::memcpy(reinterpret_cast<u8*>(places[std::size_t(lane)]), &value, sizeof(T));
    });
  }
};

/// Half of a register; the other half is kept.
template <typename T, int kShift>
struct Half {
  static constexpr u32 kBytes = sizeof(T);
  static void load(Wave& wave, int vgpr, const Places& places, u32 mask) {
    u32* const to = wave.vgpr[std::size_t(vgpr)].data();
    for_lanes(mask, [&](int lane) {
      T value;
      std::memcpy(&value, reinterpret_cast<const u8*>(places[std::size_t(lane)]), sizeof(T));
      to[lane] = (to[lane] & ~(0xffffu << kShift)) | u32(u16(i16(value))) << kShift;
    });
  }
  static void store(const Wave& wave, int vgpr, const Places& places, u32 mask) {
    const u32* const from = wave.vgpr[std::size_t(vgpr)].data();
    for_lanes(mask, [&](int lane) {
      const T value = T(from[lane] >> kShift);
      std::memcpy(reinterpret_cast<u8*>(places[std::size_t(lane)]), &value, sizeof(T));
    });
  }
};

template <int kWords>
struct Words {
  static constexpr u32 kBytes = kWords * 4;
  static void load(Wave& wave, int vgpr, const Places& places, u32 mask) {
    Lanes* const to = &wave.vgpr[std::size_t(vgpr)];
    for_lanes(mask, [&](int lane) {
      u32 words[kWords];
      std::memcpy(words, reinterpret_cast<const u8*>(places[std::size_t(lane)]), kBytes);
      for (int i = 0; i < kWords; ++i) to[i][std::size_t(lane)] = words[i];
    });
  }
  static void store(const Wave& wave, int vgpr, const Places& places, u32 mask) {
    const Lanes* const from = &wave.vgpr[std::size_t(vgpr)];
    for_lanes(mask, [&](int lane) {
      u32 words[kWords];
      for (int i = 0; i < kWords; ++i) words[i] = from[i][std::size_t(lane)];
      std::memcpy(reinterpret_cast<u8*>(places[std::size_t(lane)]), words, kBytes);
    });
  }
};

}  // namespace isotope::sim
