#include "sim/lds_check.h"

#include <fmt/core.h>

#include <algorithm>

#include "sim/counters.h"

namespace isotope::sim {
namespace {

// A key.
constexpr u32 kBytesMask = 0xf;
constexpr int kWaveShift = 4, kEpochShift = 11;
constexpr u32 kWaveMask = 31u << kWaveShift;
constexpr u32 kAtomic = 1u << 9;
constexpr u32 kSeveral = 1u << 10;  ///< other waves too; the key's wave is the last of them
constexpr u32 kEpochs = 1u << (32 - kEpochShift);

bool same_epoch(u32 key, u32 other) { return (key ^ other) >> kEpochShift == 0; }
bool same_wave(u32 key, u32 other) { return ((key ^ other) & kWaveMask) == 0; }

}  // namespace

void LdsCheck::forget() {
  std::fill(write_key_.begin(), write_key_.end(), 0);
  std::fill(read_key_.begin(), read_key_.end(), 0);
}

void LdsCheck::begin_group(std::size_t bytes) {
  const std::size_t words = (bytes + 3) / 4;
  written_.assign(words, 0);
  for (auto* each : {&write_key_, &read_key_, &write_at_, &read_at_})
    if (each->size() < words) each->resize(words, 0);
  base_ = last_epoch_ + 1;
}

u32 LdsCheck::epoch_of(const Workgroup& group) {
  u32 epoch = base_ + group.barriers_passed;
  if (epoch >= kEpochs) {
    // Nothing that is known is of this epoch yet.
    forget();
    base_ = 1 - group.barriers_passed;
    epoch = 1;
  }
  return last_epoch_ = epoch;
}

void LdsCheck::report_race(const Access& access, std::size_t word, u32 other, const char* did,
                           u32 at) {
  const u32 writer = (other & kWaveMask) >> kWaveShift;
  const bool others = same_wave(other, access.me);
  record(access.wave, access.in, checks_.lds_races, access.wave.group->counters->lds_races, 1,
         fmt::format(
             "a race in LDS: wave {} {} byte {}, which {} {} in \"{}\" without a barrier between",
             access.wave.id, access.use == Use::load ? "reads" : "writes", word * 4,
             others ? "another wave" : fmt::format("wave {}", writer), did,
             access.wave.program->instructions[at].text));
}

void LdsCheck::report_unwritten(const Access& access, std::size_t word, u32 bytes, int lane) {
  const u32 missing = bytes & ~u32(written_[word]);
  record(access.wave, access.in, checks_.uninitialised_lds,
         access.wave.group->counters->uninitialised_lds, 1,
         fmt::format("lane {} reads byte {} of LDS, which nobody has written", lane,
                     word * 4 + u32(std::countr_zero(missing))));
}

inline void LdsCheck::load(const Access& access, std::size_t word, u32 bytes, int lane) {
  if (bytes & ~u32(written_[word])) report_unwritten(access, word, bytes, lane);
  const u32 written = write_key_[word];
  // Of several waves only atomics are sure to be others' writes of the same bytes.
  if (same_epoch(written, access.me) && written & bytes &&
      (written & kSeveral ? written & kAtomic : !same_wave(written, access.me)))
    report_race(access, word, written, "has written", write_at_[word]);
  const u32 read = read_key_[word];
  u32 key = access.me | bytes;
  if (same_epoch(read, access.me))
    key |= (read & (kBytesMask | kSeveral)) | (same_wave(read, access.me) ? 0 : kSeveral);
  read_key_[word] = key;
  read_at_[word] = access.wave.now;
}

inline void LdsCheck::store(const Access& access, std::size_t word, u32 bytes) {
  const bool atomic = access.use == Use::atomic;
  const u32 read = read_key_[word], written = write_key_[word];
  if (same_epoch(read, access.me) && read & bytes &&
      (read & kSeveral || !same_wave(read, access.me)))
    report_race(access, word, read, "has read", read_at_[word]);
  u32 key = access.me | bytes | (atomic ? kAtomic : 0);
  if (same_epoch(written, access.me)) {
    const bool others = !same_wave(written, access.me) || written & kSeveral;
    const bool certain = written & kSeveral ? bool(written & kAtomic) : others;
    if (written & bytes && certain && !(atomic && written & kAtomic))
      report_race(access, word, written, "has written", write_at_[word]);
    key |= written & kBytesMask;
    if (others) key |= kSeveral;
    if (!(written & kAtomic)) key &= ~kAtomic;
  }
  write_key_[word] = key;
  write_at_[word] = access.wave.now;
  written_[word] = u8(written_[word] | bytes);
}

void LdsCheck::access(const Wave& wave, const Instruction& in, const Places& offsets, u32 mask,
                      u32 bytes, Use use) {
  const Access access{wave, in, epoch_of(*wave.group) << kEpochShift | u32(wave.id) << kWaveShift,
                      use};
  for_lanes(mask, [&](int lane) {
    u64 at = offsets[std::size_t(lane)];
    const u64 end = at + bytes;
    while (at < end) {
      const u32 first = u32(at % 4), count = std::min(4 - first, u32(end - at));
      const u32 touched = ((1u << count) - 1) << first;
      if (use == Use::load)
        load(access, at / 4, touched, lane);
      else if (use == Use::atomic && touched & ~u32(written_[at / 4]))
        report_unwritten(access, at / 4, touched, lane);
      if (use != Use::load) store(access, at / 4, touched);
      at += count;
    }
  });
}

namespace {

constexpr u32 kBanks = 64;

/// Of lanes that are served together: the most different words in one bank.
u32 cycles_of(const Places& offsets, u32 mask, u32 bytes) {
  std::array<u8, kBanks> counts{};
  std::array<std::array<u64, kLanes * 2>, kBanks> words;  // no more than counted is valid
  u32 most = 1;
  for_lanes(mask, [&](int lane) {
    const u64 from = offsets[std::size_t(lane)];
    for (u64 word = from / 4; word <= (from + bytes - 1) / 4; ++word) {
      auto& bank = words[word % kBanks];
      u8& count = counts[word % kBanks];
      if (std::find(bank.begin(), bank.begin() + count, word) != bank.begin() + count) continue;
      bank[count++] = word;
      most = std::max<u32>(most, count);
    }
  });
  return most;
}

/// No conflict, and quickly seen: every lane has banks of its own.
bool all_apart(const Places& offsets, u32 mask, u32 width) {
  const int shift = std::countr_zero(width);  // no divisions: this is done for every access
  const u32 places = kBanks * 4 >> shift;
  u64 used = 0, unaligned = 0;
  for_lanes(mask, [&](int lane) {
    const u64 from = offsets[std::size_t(lane)];
    unaligned |= from & (width - 1);
    used |= u64(1) << ((from >> shift) & (places - 1));
  });
  return unaligned == 0 && std::popcount(used) == std::popcount(mask);
}

}  // namespace

u32 bank_conflicts(const Places& offsets, u32 mask, u32 bytes) {
  const u32 width = bytes <= 4 ? 4 : bytes <= 8 ? 8 : 16, lanes = kLanes * 4 / width;
  u32 extra = 0;
  for (u32 first = 0; first < kLanes; first += lanes) {
    const u32 served = mask & u32(((u64(1) << lanes) - 1) << first);
    if (served == 0 || (bytes == width && all_apart(offsets, served, width))) continue;
    extra += cycles_of(offsets, served, bytes) - 1;
  }
  return extra;
}

}  // namespace isotope::sim
