// Vector instructions as functions of one lane: lanes makes a handler of a lambda whose argument
// types say how sources are read and whose result type says what is written.
#pragma once

#include <cfenv>
#include <cmath>
#include <limits>
#include <utility>

#include "sim/float16.h"
#include "sim/lanes.h"

namespace isotope::sim::vector {

/// An f16 as a lambda sees it. Results are rounded to nearest even.
struct Half {
  float value;
};
/// Of a mask in scalar registers: the lane's bit. A source that is not written out is vcc_lo.
using Bit = bool;
/// 32 bits that take the modifiers of a float though they are moved and not computed with.
struct Bits {
  u32 value;
};
struct Bits16 {
  u16 value;
};
/// A second result: a bit of a mask in scalar registers.
template <class T>
struct WithBit {
  T value;
  u32 bit;  ///< 0 or 1
};
/// Where a source's lanes lie; high: the upper words of 64 bits.
struct Source {
  const u32 *low = nullptr, *high = nullptr;
};
struct Buffer {
  alignas(64) Lanes low, high;
};

enum Flags : unsigned {
  kPlain = 0,
  /// Floats are computed with: subnormals as the mode says, NaN results are the first NaN source
  /// made quiet, rounding mode.
  kArithmetic = 1,
  /// The last source is the destination.
  kAccumulate = 2,
  /// Compiled a second time for hosts with AVX2 and fused multiply-add.
  kFused = 4,
  /// A comparison that writes exec; it has no operand for the result.
  kExec = 8,
  /// NaN results are what the lambda says.
  kOwnNans = 16,
};

template <class T>
constexpr bool kFloat =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, Half>;
template <class T>
constexpr bool kSigned = kFloat<T> || std::is_same_v<T, Bits> || std::is_same_v<T, Bits16>;
template <class T>
constexpr bool kWide = sizeof(T) == 8;
template <class T>
constexpr bool kShort = std::is_same_v<T, Half> || std::is_same_v<T, u16> ||
                        std::is_same_v<T, i16> || std::is_same_v<T, Bits16>;
template <class T>
constexpr u32 kSignBit = kShort<T> ? 0x8000 : 0x80000000;

template <class T>
struct ResultOf {
  using Type = T;
  static constexpr bool kHasBit = false;
};
template <class T>
struct ResultOf<WithBit<T>> {
  using Type = T;
  static constexpr bool kHasBit = true;
};

struct LaneBits {
  alignas(64) u32 of[kLanes];
  constexpr LaneBits() : of() {
    for (int lane = 0; lane < kLanes; ++lane) of[lane] = 1u << lane;
  }
};
inline constexpr LaneBits kLaneBits;

inline bool flushes(const Wave& wave, float) { return !wave.mode.denormals_32; }
inline bool flushes(const Wave& wave, double) { return !wave.mode.denormals_16_64; }
inline bool flushes(const Wave& wave, Half) { return !wave.mode.denormals_16_64; }

/// Subnormals become zero of the same sign.
template <class T>
void flush(const Source& source, Buffer& to) {
  constexpr u32 kExponent = kShort<T> ? 0x7c00 : kWide<T> ? 0x7ff00000 : 0x7f800000;
  for (int lane = 0; lane < kLanes; ++lane) {
    const u32 top = kWide<T> ? source.high[lane] : source.low[lane];
    const u32 low = source.low[lane];
    const bool tiny = (top & kExponent) == 0;
    const u32 flushed = tiny ? top & kSignBit<T> : top;
    to.low[lane] = kWide<T> ? (tiny ? 0 : low) : flushed;
    if (kWide<T>) to.high[lane] = flushed;
  }
}

template <class T>
void change_sign(const Operand& operand, Source& source, Buffer& buffer) {
  const u32 keep = operand.absolute ? ~kSignBit<T> : ~0u, turn = operand.negate ? kSignBit<T> : 0;
  const u32*& top = kWide<T> ? source.high : source.low;
  Lanes& to = kWide<T> ? buffer.high : buffer.low;
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = (top[lane] & keep) ^ turn;
  top = to.data();
}

/// The lanes of operand `at`, which is source `number`, with its modifiers. DPP takes lanes out of
/// `mask`.
template <class T, unsigned kFlags>
Source fetch(Wave& wave, const Instruction& in, int at, int number, Buffer& buffer, u32& mask) {
  Source source;
  if constexpr (std::is_same_v<T, Bit>) {
    const u32 bits = at < in.count ? u32(scalar_value(wave, in.operands[at])) : wave.vcc();
    for (int lane = 0; lane < kLanes; ++lane) buffer.low[lane] = bits & kLaneBits.of[lane] ? 1 : 0;
    source.low = buffer.low.data();
  } else {
    const Operand& operand = in.operands[at];
    source.low = lane_words(wave, operand, 0, buffer.low);
    if (number == 0 && in.dpp.kind != LaneMove::none) [[unlikely]] {
      if (kWide<T>) throw Fault("the simulator has no DPP of 64 bits");
      source.low = moved_lanes(wave, in, source.low, buffer.low, mask);
    }
    if constexpr (kWide<T>) source.high = lane_words(wave, operand, 1, buffer.high);
    if (kShort<T> && operand.kind != Operand::constant &&
        ((in.op_sel >> number & 1) || operand.high)) {
      for (int lane = 0; lane < kLanes; ++lane) buffer.low[lane] = source.low[lane] >> 16;
      source.low = buffer.low.data();
    }
    if (kSigned<T> && (operand.negate || operand.absolute)) change_sign<T>(operand, source, buffer);
    if constexpr (kFloat<T> && (kFlags & kArithmetic))
      if (flushes(wave, T{})) [[unlikely]] {
        flush<T>(source, buffer);
        source = {buffer.low.data(), buffer.high.data()};
      }
  }
  return source;
}

template <class T>
inline __attribute__((always_inline)) T load(const Source& source, int lane) {
  if constexpr (std::is_same_v<T, Half>)
    return Half{from_f16(source.low[lane])};
  else if constexpr (std::is_same_v<T, Bits> || std::is_same_v<T, Bits16>)
    return T{decltype(T::value)(source.low[lane])};
  else if constexpr (kShort<T>)
    return T(source.low[lane]);
  else if constexpr (std::is_same_v<T, Bit>)
    return source.low[lane] != 0;
  else if constexpr (kWide<T>)
    return std::bit_cast<T>(source.low[lane] | u64(source.high[lane]) << 32);
  else
    return std::bit_cast<T>(source.low[lane]);
}
template <class T>
inline __attribute__((always_inline)) void store(Buffer& to, int lane, T value) {
  if constexpr (std::is_same_v<T, Half>)
    to.low[lane] = to_f16(value.value);
  else if constexpr (std::is_same_v<T, Bits> || std::is_same_v<T, Bits16>)
    to.low[lane] = value.value;
  else if constexpr (kShort<T>)
    to.low[lane] = u16(value);
  else if constexpr (kWide<T>) {
    const u64 bits = std::bit_cast<u64>(value);
    to.low[lane] = u32(bits);
    to.high[lane] = u32(bits >> 32);
  } else
    to.low[lane] = std::bit_cast<u32>(value);
}

/// All lanes; the mask of what is true: a result of bool, or the second result.
template <class F, class R, class... A, std::size_t... I>
inline __attribute__((always_inline)) u32 compute(const Source* sources, Buffer& out,
                                                  std::index_sequence<I...>) {
  u32 bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const R result = F{}(load<A>(sources[I], lane)...);
    if constexpr (std::is_same_v<R, bool>) {
      bits |= result ? kLaneBits.of[lane] : 0;
    } else if constexpr (ResultOf<R>::kHasBit) {
      bits |= -result.bit & kLaneBits.of[lane];
      store(out, lane, result.value);
    } else {
      store(out, lane, result);
    }
  }
  return bits;
}

#if defined(__x86_64__)
inline const bool kHostFuses = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
template <class F, class R, class... A, std::size_t... I>
__attribute__((target("avx2,fma"))) u32 compute_fused(const Source* sources, Buffer& out,
                                                      std::index_sequence<I...> all) {
  return compute<F, R, A...>(sources, out, all);
}
#endif

inline void write_words(Wave& wave, int vgpr, const Lanes& values, u32 mask) {
  Lanes& target = wave.vgpr[vgpr];
  if (mask == ~0u) {
    target = values;
    return;
  }
  // Without a condition: the loop vectorises.
  for (int lane = 0; lane < kLanes; ++lane) {
    const u32 take = mask & kLaneBits.of[lane] ? ~0u : 0;
    target[lane] = (values[lane] & take) | (target[lane] & ~take);
  }
}

/// Into half of a register: the other half keeps what it holds.
inline void write_half(Wave& wave, int vgpr, bool high, const Lanes& values, u32 mask) {
  Lanes& target = wave.vgpr[vgpr];
  const u32 keep = high ? 0xffff : 0xffff0000;
  const int shift = high ? 16 : 0;
  for (int lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1) target[lane] = (target[lane] & keep) | (values[lane] & 0xffff) << shift;
}

/// NaN among float results become the first NaN source, quiet, or the default one.
void mend_nans(float, const Source* sources, const int* floats, int count, Buffer& out);
void mend_nans(double, const Source* sources, const int* floats, int count, Buffer& out);
void mend_nans(Half, const Source* sources, const int* floats, int count, Buffer& out);
/// Flushes subnormal results, then output scale and clamp.
void finish(float, const Wave& wave, const Instruction& in, Buffer& out);
void finish(double, const Wave& wave, const Instruction& in, Buffer& out);
void finish(Half, const Wave& wave, const Instruction& in, Buffer& out);

template <class T>
bool has_nan(const Buffer& out) {
  u32 any = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if constexpr (std::is_same_v<T, Half>) {
      any |= (out.low[lane] & 0x7fff) > 0x7c00;
    } else {
      const T value = load<T>({out.low.data(), out.high.data()}, lane);
      any |= value != value;
    }
  }
  return any != 0;
}

/// Other modes than nearest even are the host's while the lanes are computed.
class Rounding {
 public:
  explicit Rounding(int mode) : mode_(mode) {
    constexpr int kModes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    if (mode_) [[unlikely]]
      std::fesetround(kModes[mode_ & 3]);
  }
  ~Rounding() {
    if (mode_) [[unlikely]]
      std::fesetround(FE_TONEAREST);
  }
  Rounding(const Rounding&) = delete;

 private:
  int mode_;
};
template <class T>
int rounding_of(const Wave& wave) {
  if constexpr (std::is_same_v<T, float>) return wave.mode.round_32;
  if constexpr (std::is_same_v<T, double>) return wave.mode.round_16_64;
  if (std::is_same_v<T, Half> && wave.mode.round_16_64)
    throw Fault("the simulator rounds f16 to nearest only");
  return 0;
}

template <class F, unsigned kFlags, class R, class... A, std::size_t... I>
void run_lanes(Wave& wave, const Instruction& in, R (*)(A...), std::index_sequence<I...> all) {
  using T = typename ResultOf<R>::Type;
  constexpr int kFirst = kFlags & kExec ? 0 : ResultOf<R>::kHasBit ? 2 : 1;
  constexpr int kSources = sizeof...(A);
  Buffer buffers[kSources], out;
  u32 mask = wave.exec();
  const Source sources[] = {
      fetch<A, kFlags>(wave, in, (kFlags & kAccumulate) && I + 1 == kSources ? 0 : kFirst + int(I),
                       int(I), buffers[I], mask)...};
  u32 bits;
  {
    const Rounding rounding(kFlags & kArithmetic ? rounding_of<T>(wave) : 0);
#if defined(__x86_64__)
    if ((kFlags & kFused) && kHostFuses)
      bits = compute_fused<F, R, A...>(sources, out, all);
    else
#endif
      bits = compute<F, R, A...>(sources, out, all);
  }
  if constexpr (std::is_same_v<R, bool>) {
    if constexpr (kFlags & kExec)
      wave.sgpr[kExecLo] = bits & mask;
    else
      set_mask(wave, in.operands[0], bits & mask);
  } else {
    if constexpr (kFloat<T> && (kFlags & kArithmetic)) {
      if (!(kFlags & kOwnNans) && has_nan<T>(out)) [[unlikely]] {
        constexpr int kFloats[] = {(std::is_same_v<A, T> ? int(I) : -1)...};
        mend_nans(T{}, sources, kFloats, kSources, out);
      }
      if (in.clamp || in.output_scale || flushes(wave, T{})) [[unlikely]]
        finish(T{}, wave, in, out);
    }
    if constexpr (ResultOf<R>::kHasBit) set_mask(wave, in.operands[1], bits & mask);
    const Operand& to = in.operands[0];
    if constexpr (kShort<T>)
      write_half(wave, to.index, to.high || (in.op_sel >> kSources & 1), out.low, mask);
    else
      write_words(wave, to.index, out.low, mask);
    if constexpr (kWide<T>) write_words(wave, to.index + 1, out.high, mask);
  }
}

template <class F, unsigned kFlags>
void run(Wave& wave, const Instruction& in) {
  const auto deduced = [&]<class R, class... A>(R (*function)(A...)) {
    run_lanes<F, kFlags>(wave, in, function, std::index_sequence_for<A...>());
  };
  deduced(+F{});
}
template <class F, class Clamped, unsigned kFlags>
void run_clamped(Wave& wave, const Instruction& in) {
  in.clamp ? run<Clamped, kFlags>(wave, in) : run<F, kFlags>(wave, in);
}

/// The handler that computes a lambda without captures in every lane.
template <unsigned kFlags = kPlain, class F>
constexpr Handler lanes(F) {
  return run<F, kFlags>;
}
/// The same with another lambda for instructions with clamp.
template <unsigned kFlags = kPlain, class F, class Clamped>
constexpr Handler lanes_clamped(F, Clamped) {
  return run_clamped<F, Clamped, kFlags>;
}

/// The neighbour of `value` whose last bit is 1 unless `value` is a float: rounded once more to f16
/// it is `value` correctly rounded.
inline float round_to_odd(double value) {
  const float nearest = float(value);
  if (double(nearest) == value || value != value || std::isinf(nearest)) return nearest;
  const u32 bits = std::bit_cast<u32>(nearest);
  return std::bit_cast<float>((std::abs(double(nearest)) > std::abs(value) ? bits - 1 : bits) | 1);
}

}  // namespace isotope::sim::vector
