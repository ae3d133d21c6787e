#include "sim/access.h"

#include <fmt/core.h>

#include "sim/counters.h"
#include "sim/lds_check.h"
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
  if (use == Use::atomic) return;
  Counters::Width& width =
      (use == Use::load ? counters.load_widths : counters.store_widths)[width_index(bytes)];
  ++width.all;
  width.coalesced += lines * kLine < moved + kLine;
}

/// Of the lines that the lanes touch, how many the launch has not touched before.
u32 touch_lines(Memory& memory, Memory::Region& region, const Places& places, u32 mask, u32 bytes,
                const Extent& extent) {
  if (extent.dense)
    return region.touch_lines(extent.first, extent.end - extent.first, memory.launch);
  u32 fresh = 0;
  for_lanes(mask, [&](int lane) {
    fresh += region.touch_lines(places[std::size_t(lane)], bytes, memory.launch);
  });
  return fresh;
}

/// Lanes whose bytes are not all initialised, among those of `mask`, which lie in `region`.
u32 uninitialised_lanes(const Memory::Region& region, const Places& places, u32 mask, u32 bytes) {
  u32 found = 0;
  for_lanes(mask, [&](int lane) {
    found |= u32(!region.shadow->test(places[std::size_t(lane)] - region.begin, bytes)) << lane;
  });
  return found;
}

void report_uninitialised(const Wave& wave, const Instruction& in, const Memory::Region& region,
                          u64 address, u32 bytes, const std::string& who, u32 lanes) {
  const Memory& memory = *wave.group->memory;
  record(wave, in, memory.checks.uninitialised_memory, wave.group->counters->uninitialised_memory,
         lanes,
         fmt::format("{} reads {} bytes at {:#x}, not all initialised: {}", who, bytes, address,
                     Memory::place(region, address)));
}

/// What lanes of `mask` do to the shadow of the region in which they all are. `extent` is of these
/// lanes.
void access_shadow(const Wave& wave, const Instruction& in, Memory::Region& region,
                   const Places& places, u32 mask, u32 bytes, Use use, const Extent& extent) {
  if (use != Use::store && wave.group->memory->checks.uninitialised_memory != OnFinding::ignore &&
      !(extent.dense &&
        region.shadow->test_range(extent.first - region.begin, extent.end - extent.first))) {
    const u32 lanes = uninitialised_lanes(region, places, mask, bytes);
    if (lanes) {
      const int first = std::countr_zero(lanes);
      report_uninitialised(wave, in, region, places[std::size_t(first)], bytes,
                           fmt::format("lane {}", first), u32(std::popcount(lanes)));
    }
  }
  if (use == Use::load) return;
  if (extent.dense) return region.mark(extent.first, extent.end - extent.first);
  for_lanes(mask,
            [&](int lane) { region.shadow->set(places[std::size_t(lane)] - region.begin, bytes); });
  region.forget_complete_shadow();
}

/// Not all in one region that may be accessed so: each on its own.
void resolve_lane_by_lane(const Wave& wave, const Instruction& in, const Places& places, u32 mask,
                          u32 bytes, Use use) {
  for_lanes(mask, [&](int lane) {
    const u64 address = places[std::size_t(lane)];
    Memory& memory = *wave.group->memory;
    Memory::Region& region = memory.at(address, bytes, use != Use::load, wave.now);
    const u32 fresh = region.touch_lines(address, bytes, memory.launch);
    if (use == Use::load) wave.group->counters->distinct_lines += fresh;
    if (region.shadow)
      access_shadow(wave, in, region, places, 1u << lane, bytes, use,
                    {address, address + bytes, false});
  });
}

/// The hardware does not do these.
void check_alignment(const Places& places, u32 mask, u32 bytes) {
  u64 low = 0;
  for_lanes(mask, [&](int lane) { low |= places[std::size_t(lane)]; });
  if (low % bytes != 0)
    throw Fault(fmt::format("an atomic of {} bytes that is not aligned", bytes), Fault::address);
}

}  // namespace

void resolve_global(Wave& wave, const Instruction& in, Places& places, u32 mask, u32 bytes,
                    Use use) {
  if (use == Use::load) {
    wave.loads.begin(u32(std::popcount(mask)) * bytes);
    Counters& counters = *wave.group->counters;
    counters.most_in_flight = std::max<u64>(counters.most_in_flight, wave.loads.bytes());
  }
  if (mask == 0) return;
  if (use == Use::atomic) check_alignment(places, mask, bytes);
  const Extent extent = extent_of(places, mask, bytes);
  Memory::Region* region =
      wave.group->memory->find(extent.first, extent.end - extent.first, wave.now);
  if (!region || (use != Use::load && !region->writable))
    resolve_lane_by_lane(wave, in, places, mask, bytes, use);
  else {
    if (region->shadow) access_shadow(wave, in, *region, places, mask, bytes, use, extent);
    const u32 fresh = touch_lines(*wave.group->memory, *region, places, mask, bytes, extent);
    if (use == Use::load) wave.group->counters->distinct_lines += fresh;
  }
  count(*wave.group->counters, places, mask, bytes, extent, use);
}

const u8* resolve_scalar(Wave& wave, const Instruction& in, u64 address, u32 bytes) {
  Memory& memory = *wave.group->memory;
  const Memory::Region& region = memory.at(address, bytes, false, wave.now);
  if (region.shadow && !region.shadow->test_range(address - region.begin, bytes))
    report_uninitialised(wave, in, region, address, bytes, "the wave", 1);
  wave.group->counters->scalar_bytes += bytes;
  return reinterpret_cast<const u8*>(address);
}

void resolve_lds(Wave& wave, const Instruction& in, Places& places, u32 mask, u32 bytes, Use use) {
  std::vector<u8>& lds = wave.group->lds;
  if (use == Use::atomic) check_alignment(places, mask, bytes);
  for_lanes(mask, [&](int lane) {
    const u64 place = places[std::size_t(lane)];
    if (place + bytes > lds.size())
      throw Fault(
          fmt::format("{} of {} bytes at byte {} of LDS by lane {}: the workgroup has {} bytes",
                      use == Use::load ? "a load" : "a store", bytes, place, lane, lds.size()),
          Fault::address);
  });
  if (wave.group->lds_check) wave.group->lds_check->access(wave, in, places, mask, bytes, use);
  wave.group->counters->lds_conflicts += bank_conflicts(places, mask, bytes);
  for (u64& place : places) place += u64(lds.data());
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
