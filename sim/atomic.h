// What atomics make of memory's value, for LDS and global memory alike.
#pragma once

#include <cmath>
#include <concepts>

#include "sim/access.h"
#include "sim/float16.h"

namespace isotope::sim {

// Each has the type in memory and `made(old, data, compare)`.

template <typename T>
struct Add {
  using Type = T;
  static T made(T old, T data, T) { return T(old + data); }
};
template <typename T>
struct Subtract {
  using Type = T;
  static T made(T old, T data, T) { return T(old - data); }
};
template <typename T>
struct SubtractReversed {
  using Type = T;
  static T made(T old, T data, T) { return T(data - old); }
};
/// Stops at 0.
template <typename T>
struct SubtractClamped {
  using Type = T;
  static T made(T old, T data, T) { return old < data ? T(0) : T(old - data); }
};
/// Only if the result is not negative.
template <typename T>
struct SubtractIfLess {
  using Type = T;
  static T made(T old, T data, T) { return old >= data ? T(old - data) : old; }
};
template <typename T>
struct Min {
  using Type = T;
  static T made(T old, T data, T) { return data < old ? data : old; }
};
template <typename T>
struct Max {
  using Type = T;
  static T made(T old, T data, T) { return data >= old ? data : old; }
};
template <typename T>
struct And {
  using Type = T;
  static T made(T old, T data, T) { return old & data; }
};
template <typename T>
struct Or {
  using Type = T;
  static T made(T old, T data, T) { return old | data; }
};
template <typename T>
struct Xor {
  using Type = T;
  static T made(T old, T data, T) { return old ^ data; }
};
/// `data` says which bits are replaced by those of the second operand.
template <typename T>
struct MaskedOr {
  using Type = T;
  static T made(T old, T data, T bits) { return (old & ~data) | bits; }
};
template <typename T>
struct Swap {
  using Type = T;
  static T made(T, T data, T) { return data; }
};
template <typename T>
struct CompareSwap {
  using Type = T;
  static T made(T old, T data, T compare) { return old == compare ? data : old; }
};
/// Counts from 0 to `data` and around.
template <typename T>
struct Increment {
  using Type = T;
  static T made(T old, T data, T) { return old >= data ? T(0) : T(old + 1); }
};
template <typename T>
struct Decrement {
  using Type = T;
  static T made(T old, T data, T) { return old == 0 || old > data ? data : T(old - 1); }
};

template <typename T, typename Bits>
Bits quiet(Bits bits) {
  return bits | Bits(1) << (std::numeric_limits<T>::digits - 2);
}
/// f32 and f64 as their bits: a NaN that is handed on is made quiet, one that arises is positive.
template <typename Float, std::unsigned_integral Bits>
struct AddFloat {
  using Type = Bits;
  static Bits made(Bits old, Bits data, Bits) {
    const Float a = std::bit_cast<Float>(old), b = std::bit_cast<Float>(data), sum = a + b;
    if (!std::isnan(sum)) return std::bit_cast<Bits>(sum);
    if (std::isnan(a)) return quiet<Float>(old);
    return std::isnan(b) ? quiet<Float>(data)
                         : std::bit_cast<Bits>(std::numeric_limits<Float>::quiet_NaN());
  }
};
/// The number of a number and a NaN; -0 is less than +0.
template <typename Float, std::unsigned_integral Bits, bool kLeast>
struct LeastFloat {
  using Type = Bits;
  static Bits made(Bits old, Bits data, Bits) {
    const Float a = std::bit_cast<Float>(old), b = std::bit_cast<Float>(data);
    if (std::isnan(b)) return std::isnan(a) ? quiet<Float>(data) : old;
    if (std::isnan(a)) return data;
    if (a == 0 && b == 0) return std::signbit(b) == kLeast ? data : old;
    return (kLeast ? b < a : b > a) ? data : old;
  }
};
/// Two halves of 32 bits. Sums of f16 and bf16 as f32 are not rounded twice: 24 bits are twice
/// their bits and 2.
template <float (*kFrom)(u32), u32 (*kTo)(float)>
struct AddPair {
  using Type = u32;
  static u32 half(u32 a, u32 b) { return kTo(kFrom(a & 0xffff) + kFrom(b & 0xffff)); }
  static u32 made(u32 old, u32 data, u32) {
    return half(old, data) | half(old >> 16, data >> 16) << 16;
  }
};

/// Executes lane after lane. `compare` may be the same register as `data` where there is none;
/// `result` is negative if the old value is not wanted.
template <typename Operation>
void execute_atomic(Wave& wave, const Places& places, u32 mask, int result, int data, int compare) {
  using T = typename Operation::Type;
  constexpr int kWords = sizeof(T) / 4;
  std::array<Lanes, kWords> old{};
  const auto of = [&](int vgpr, int lane) {
    u32 words[kWords];
    for (int i = 0; i < kWords; ++i) words[i] = wave.vgpr[std::size_t(vgpr + i)][std::size_t(lane)];
    T value;
    std::memcpy(&value, words, sizeof(T));
    return value;
  };
  for_lanes(mask, [&](int lane) {
    u8* const place = reinterpret_cast<u8*>(places[std::size_t(lane)]);
    T before;
    std::memcpy(&before, place, sizeof(T));
    const T after = Operation::made(before, of(data, lane), of(compare, lane));
    std::memcpy(place, &after, sizeof(T));
    u32 words[kWords];
    std::memcpy(words, &before, sizeof(T));
    for (int i = 0; i < kWords; ++i) old[std::size_t(i)][std::size_t(lane)] = words[i];
  });
  if (result < 0) return;
  for (int i = 0; i < kWords; ++i) {
    Lanes& to = wave.vgpr[std::size_t(result + i)];
    for_lanes(mask,
              [&](int lane) { to[std::size_t(lane)] = old[std::size_t(i)][std::size_t(lane)]; });
  }
}

/// As in global memory: what is compared lies behind the data. `result` is null if the old value is
/// not wanted.
template <typename Operation>
void execute_atomic(Wave& wave, const Places& places, u32 mask, const Operand* result,
                    const Operand& data) {
  constexpr int kWords = sizeof(typename Operation::Type) / 4;
  const int compare = data.words > kWords ? data.index + kWords : data.index;
  execute_atomic<Operation>(wave, places, mask, result ? result->index : -1, data.index, compare);
}

}  // namespace isotope::sim
