#include "sim/vector.h"

namespace isotope::sim::vector {
namespace {

template <class T>
struct Format;
template <>
struct Format<float> {
  using Word = u32;
  static constexpr Word kExponent = 0x7f800000, kQuiet = 0x400000, kSign = 0x80000000;
};
template <>
struct Format<double> {
  using Word = u64;
  static constexpr Word kExponent = 0x7ff0000000000000, kQuiet = 0x8000000000000,
                        kSign = 0x8000000000000000;
};
template <>
struct Format<Half> {
  using Word = u16;
  static constexpr Word kExponent = 0x7c00, kQuiet = 0x200, kSign = 0x8000;
};

template <class T>
typename Format<T>::Word word(const u32* low, const u32* high, int lane) {
  if constexpr (kWide<T>) return low[lane] | u64(high[lane]) << 32;
  return typename Format<T>::Word(low[lane]);
}
template <class T>
void set_word(Buffer& to, int lane, u64 value) {
  to.low[lane] = u32(value);
  if (kWide<T>) to.high[lane] = u32(value >> 32);
}
template <class T>
bool is_nan(typename Format<T>::Word bits) {
  return (bits & ~Format<T>::kSign) > Format<T>::kExponent;
}

template <class T>
void mend(const Source* sources, const int* floats, int count, Buffer& out) {
  using Word = typename Format<T>::Word;
  bool any = false;
  for (int i = 0; i < count; ++i) any |= floats[i] >= 0;
  if (!any) return;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!is_nan<T>(word<T>(out.low.data(), out.high.data(), lane))) continue;
    Word result = Format<T>::kExponent | Format<T>::kQuiet;
    for (int i = count - 1; i >= 0; --i) {
      if (floats[i] < 0) continue;
      const Word bits = word<T>(sources[i].low, sources[i].high, lane);
      if (is_nan<T>(bits)) result = bits | Format<T>::kQuiet;
    }
    set_word<T>(out, lane, result);
  }
}

double value_of(u32 bits, float) { return double(std::bit_cast<float>(bits)); }
double value_of(u64 bits, double) { return std::bit_cast<double>(bits); }
double value_of(u16 bits, Half) { return double(from_f16(bits)); }
u32 bits_of(double value, float) { return std::bit_cast<u32>(float(value)); }
u64 bits_of(double value, double) { return std::bit_cast<u64>(value); }
u16 bits_of(double value, Half) { return u16(to_f16(round_to_odd(value))); }

template <class T>
void finish_lanes(const Wave& wave, const Instruction& in, Buffer& out) {
  using Word = typename Format<T>::Word;
  constexpr double kScales[] = {1, 2, 4, 0.5};
  const bool flush = flushes(wave, T{});
  // The output scale knows no subnormals: where they are kept it is ignored.
  const int scale = flush ? in.output_scale & 3 : 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    Word bits = word<T>(out.low.data(), out.high.data(), lane);
    if (flush && (bits & Format<T>::kExponent) == 0) bits &= Format<T>::kSign;
    if (scale) {
      bits = bits_of(value_of(bits, T{}) * kScales[scale], T{});
      if ((bits & Format<T>::kExponent) == 0) bits = 0;
    }
    if (in.clamp) {
      const double value = value_of(bits, T{});
      if (value > 1)
        bits = bits_of(1.0, T{});
      else if (value <= 0 || (value != value && wave.mode.dx10_clamp))
        bits = 0;
    }
    set_word<T>(out, lane, bits);
  }
}

}  // namespace

void mend_nans(float, const Source* sources, const int* floats, int count, Buffer& out) {
  mend<float>(sources, floats, count, out);
}
void mend_nans(double, const Source* sources, const int* floats, int count, Buffer& out) {
  mend<double>(sources, floats, count, out);
}
void mend_nans(Half, const Source* sources, const int* floats, int count, Buffer& out) {
  mend<Half>(sources, floats, count, out);
}
void finish(float, const Wave& wave, const Instruction& in, Buffer& out) {
  finish_lanes<float>(wave, in, out);
}
void finish(double, const Wave& wave, const Instruction& in, Buffer& out) {
  finish_lanes<double>(wave, in, out);
}
void finish(Half, const Wave& wave, const Instruction& in, Buffer& out) {
  finish_lanes<Half>(wave, in, out);
}

}  // namespace isotope::sim::vector
