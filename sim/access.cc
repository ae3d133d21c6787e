#include "sim/access.h"

#include <fmt/core.h>

#include "sim/counters.h"
#include "sim/memory.h"

namespace isotope::sim {
namespace {

constexpr u64 kLine = 128;

/// Lanes' bytes lie one behind the other.
bool consecutive(const Places& places, u32 bytes) {
  u64 different = 0;
  for (u64 lane = 0; lane < kLanes; ++lane) different |= places[lane] ^ (places[0] + lane * bytes);
  return different == 0;
}

struct Extent {
  u64 first, end;
  bool dense;  ///< all lanes, one behind the other
};

Extent extent_of(const Places& places, u32 mask, u32 bytes) {
  if (mask == ~0u && consecutive(places, bytes))
    return {places[0], places[0] + kLanes * bytes, true};
  u64 first = ~u64(0), last = 0;
  for_lanes(mask, [&](int lane) {
    first = std::min(first, places[std::size_t(lane)]);
    last = std::max(last, places[std::size_t(lane)]);
  });
  return {first, last + bytes, false};
}

/// Lines of 128 bytes that the lanes touch.
u32 lines_of(const Places& places, u32 mask, u32 bytes, const Extent& extent) {
  if (extent.dense) return u32((extent.end - 1) / kLine - extent.first / kLine + 1);
  std::array<u64, 2 * kLanes> lines;
  std::size_t count = 0;
  u64 greatest = 0, latest = ~u64(0);
  const auto touch = [&](u64 line) {
    if (line == latest) return;
    latest = line;
    if (line <= greatest && count > 0)
      for (std::size_t i = count; i-- > 0;)
        if (lines[i] == line) return;
    greatest = std::max(greatest, line);
    lines[count++] = line;
  };
  for_lanes(mask, [&](int lane) {
    const u64 from = places[std::size_t(lane)];
    touch(from / kLine);
    if ((from + bytes - 1) / kLine != from / kLine) touch((from + bytes - 1) / kLine);
  });
  return u32(count);
}

void count(Counters& counters, const Places& places, u32 mask, u32 bytes, const Extent& extent,
           Use use) {
  const u32 lines = lines_of(places, mask, bytes, extent), moved = u32(std::popcount(mask)) * bytes;
  if (use != Use::store) counters.loaded_bytes += moved, counters.loaded_lines += lines;
  if (use != Use::load) counters.stored_bytes += moved, counters.stored_lines += lines;
}

}  // namespace

void resolve_global(Wave& wave, const Instruction&, Places& places, u32 mask, u32 bytes, Use use) {
  if (mask == 0) return;
  Memory& memory = *wave.group->memory;
  const bool write = use != Use::load;
  const Extent extent = extent_of(places, mask, bytes);
  const Memory::Region* region = memory.find(extent.first, extent.end - extent.first, wave.now);
  if (!region || (write && !region->writable))
    for_lanes(mask,
              [&](int lane) { memory.at(places[std::size_t(lane)], bytes, write, wave.now); });
  if (wave.group->counters) count(*wave.group->counters, places, mask, bytes, extent, use);
}

void resolve_lds(Wave& wave, const Instruction&, Places& places, u32 mask, u32 bytes, Use use) {
  std::vector<u8>& lds = wave.group->lds;
  for_lanes(mask, [&](int lane) {
    u64& place = places[std::size_t(lane)];
    if (place + bytes > lds.size())
      throw Fault(
          fmt::format("{} of {} bytes at byte {} of LDS by lane {}: the workgroup has {} bytes",
                      use == Use::load ? "a load" : "a store", bytes, place, lane, lds.size()),
          Fault::address);
    place += u64(lds.data());
  });
}

void resolve_scratch(Wave& wave, Places& places, u32 mask, u32 bytes) {
  for_lanes(mask, [&](int lane) {
    u64& place = places[std::size_t(lane)];
    if (place > wave.scratch_bytes || place + bytes > wave.scratch_bytes)
      throw Fault(
          fmt::format(
              "an access of {} bytes at byte {} of scratch memory by lane {}, which has {} bytes",
              bytes, i64(place), lane, wave.scratch_bytes),
          Fault::address);
    place += u64(wave.scratch.data()) + u64(lane) * wave.scratch_bytes;
  });
}

}  // namespace isotope::sim
