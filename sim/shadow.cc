#include "sim/shadow.h"

#include <algorithm>
#include <new>
#include <vector>

namespace isotope::sim {
namespace {

/// What test, set and assign take at once.
constexpr std::size_t kStep = 16;

/// Bits of whole bytes and the rest: `small` for up to 16 bytes, `words` for a count of 64 bytes.
template <typename Small, typename Words>
void in_pieces(std::size_t at, std::size_t bytes, Small small, Words words) {
  const std::size_t head = std::min(bytes, (64 - at % 64) % 64);
  const auto step_by_step = [&](std::size_t begin, std::size_t end) {
    for (; begin < end; begin += kStep) small(begin, u32(std::min(kStep, end - begin)));
  };
  step_by_step(at, at + head);
  const std::size_t whole = (bytes - head) / 64;
  words((at + head) / 8, whole);
  step_by_step(at + head + whole * 64, at + bytes);
}

}  // namespace

Shadow::Shadow(std::size_t bytes)
    // Small accesses near the end read and write 4 bytes.
    : bits_(static_cast<u8*>(std::calloc(bytes / 8 + 8, 1))), bytes_(bytes), missing_(bytes) {
  if (!bits_) throw std::bad_alloc();
}

bool Shadow::test_range(std::size_t at, std::size_t bytes) const {
  bool all = true;
  in_pieces(
      at, bytes, [&](std::size_t from, u32 count) { all &= test(from, count); },
      [&](std::size_t from, std::size_t count) {
        u64 both = ~u64(0);
        for (std::size_t i = 0; i < count; ++i) {
          u64 word;
          std::memcpy(&word, bits_.get() + from + i * 8, sizeof(word));
          both &= word;
        }
        all &= both == ~u64(0);
      });
  return all;
}

void Shadow::set_range(std::size_t at, std::size_t bytes) {
  in_pieces(
      at, bytes, [&](std::size_t from, u32 count) { set(from, count); },
      [&](std::size_t from, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
          u64 word;
          std::memcpy(&word, bits_.get() + from + i * 8, sizeof(word));
          missing_ -= std::size_t(std::popcount(~word));
        }
        std::memset(bits_.get() + from, 0xff, count * 8);
      });
}

void Shadow::assign(std::size_t at, u32 bytes, u32 bits) {
  u32 word;
  u8* const to = bits_.get() + at / 8;
  std::memcpy(&word, to, sizeof(word));
  const u32 changed = ((1u << bytes) - 1) << at % 8, value = (bits << at % 8) & changed;
  missing_ += std::size_t(std::popcount(word & changed));
  missing_ -= std::size_t(std::popcount(value));
  word = (word & ~changed) | value;
  std::memcpy(to, &word, sizeof(word));
}

void Shadow::copy_range(std::size_t at, const Shadow& source, std::size_t from, std::size_t bytes) {
  const auto copy = [&](std::size_t i) {
    assign(at + i, u32(std::min(kStep, bytes - i)), source.window(from + i));
  };
  const std::size_t steps = (bytes + kStep - 1) / kStep;
  if (&source == this && from < at)
    for (std::size_t i = steps; i-- > 0;) copy(i * kStep);
  else
    for (std::size_t i = 0; i < steps; ++i) copy(i * kStep);
}

}  // namespace isotope::sim
