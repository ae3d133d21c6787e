// Checks a vector instruction against a function of one lane that is written from the instruction's
// definition.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sim/testing.h"

namespace isotope::sim::vector_test {

/// f16 by its definition: a table of all values, and rounding by search among them.
struct F16 {
  u16 bits = 0;
  double value() const;
  static F16 nearest(double value);  ///< ties to even
};

/// A lane's bit of a scalar mask, as the last source.
using Bit = bool;
/// A float's bits where the instruction moves them.
template <class T>
struct Moved {
  T bits;
};
template <class T>
struct WithBit {
  T value;
  bool bit;
};

/// Corner cases and random values of every kind, half of each.
template <class T>
T random_value(std::mt19937_64& random);
template <>
inline bool random_value(std::mt19937_64& random) {
  return random() & 1;
}
template <>
u16 random_value(std::mt19937_64& random);
template <>
u32 random_value(std::mt19937_64& random);
template <>
u64 random_value(std::mt19937_64& random);
template <>
F16 random_value(std::mt19937_64& random);
template <>
float random_value(std::mt19937_64& random);
template <>
double random_value(std::mt19937_64& random);
template <>
inline i16 random_value(std::mt19937_64& random) {
  return i16(random_value<u16>(random));
}
template <>
inline i32 random_value(std::mt19937_64& random) {
  return i32(random_value<u32>(random));
}
template <>
inline i64 random_value(std::mt19937_64& random) {
  return i64(random_value<u64>(random));
}
template <>
inline Moved<u32> random_value(std::mt19937_64& random) {
  return {random_value<u32>(random)};
}
template <>
inline Moved<u16> random_value(std::mt19937_64& random) {
  return {random_value<u16>(random)};
}

template <class T>
u64 bits_of(T value) {
  if constexpr (std::is_same_v<T, bool>)
    return value;
  else {
    u64 bits = 0;
    std::memcpy(&bits, &value, sizeof(value));
    return bits;
  }
}
template <class T>
T from_bits(u64 bits) {
  if constexpr (std::is_same_v<T, bool>)
    return bits & 1;
  else {
    T value;
    std::memcpy(static_cast<void*>(&value), &bits, sizeof(value));
    return value;
  }
}

template <class T>
constexpr bool kFloat =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, F16>;
template <class T>
constexpr bool kTakesSign =
    kFloat<T> || std::is_same_v<T, Moved<u32>> || std::is_same_v<T, Moved<u16>>;

inline bool is_nan(float value) { return value != value; }
inline bool is_nan(double value) { return value != value; }
inline bool is_nan(F16 value) { return (value.bits & 0x7fff) > 0x7c00; }
/// NaN stand for each other, but must be quiet.
template <class T>
bool same(T want, T got) {
  if constexpr (kFloat<T>) {
    constexpr u64 kQuiet = sizeof(T) == 2 ? 0x200 : sizeof(T) == 4 ? 0x400000 : 0x8000000000000;
    if (is_nan(want)) return is_nan(got) && (bits_of(got) & kQuiet);
  }
  return bits_of(want) == bits_of(got);
}
template <class T>
bool clamped_to(T& value) {
  if constexpr (std::is_same_v<T, F16>) {
    if (is_nan(value) || value.value() <= 0)
      value = F16{0};
    else if (value.value() > 1)
      value = F16{0x3c00};
  } else if constexpr (kFloat<T>) {
    if (is_nan(value) || value <= 0)
      value = T(0);
    else if (value > 1)
      value = T(1);
  }
  return true;
}

template <class R>
struct Result {
  using Type = R;
  static constexpr bool kBit = false;
};
template <class T>
struct Result<WithBit<T>> {
  using Type = T;
  static constexpr bool kBit = true;
};

struct Options {
  bool accumulates = false;  ///< the last source is the destination
  bool writes_exec = false;  ///< v_cmpx
  bool no_modifiers = false, no_scalars = false;
  bool clamps_float = false;  ///< try clamp, too
  const char* suffix = "";
  bool implied_bit = false;  ///< the bit comes from vcc_lo without being written
};

constexpr int kTarget = 10, kFirstSource = 20, kScalarSource = 40, kBitSource = 50, kBitTarget = 52;

inline std::string registers(const char* prefix, int index, std::size_t bytes) {
  if (bytes <= 4) return prefix + std::to_string(index);
  return std::string(prefix) + "[" + std::to_string(index) + ":" + std::to_string(index + 1) + "]";
}

/// How a source is written, and what becomes of its bits.
struct Form {
  bool scalar = false, negate = false, absolute = false;
  const char* constant = nullptr;
  u64 value = 0;
};

template <class T>
std::string operand_text(int i, const Form& form) {
  if constexpr (std::is_same_v<T, bool>) return "s" + std::to_string(kBitSource);
  if (form.constant) return form.constant;
  std::string text = form.scalar ? registers("s", kScalarSource, sizeof(T))
                                 : registers("v", kFirstSource + 2 * i, sizeof(T));
  if (form.absolute) text = "|" + text + "|";
  if (form.negate) text = "-" + text;
  return text;
}
template <class T>
u64 modified(u64 bits, const Form& form) {
  constexpr u64 kSign = u64(1) << (sizeof(T) * 8 - 1);
  if (form.absolute) bits &= ~kSign;
  if (form.negate) bits ^= kSign;
  return bits;
}

/// One run of 32 lanes.
template <class R, class... A, class F, std::size_t... I>
void check_once(const std::string& name, F reference, const std::array<Form, sizeof...(A)>& forms,
                bool clamp, const Options& options, std::mt19937_64& random,
                std::index_sequence<I...>) {
  using T = typename Result<R>::Type;
  constexpr std::size_t kSources = sizeof...(A);
  constexpr bool kMask = std::is_same_v<R, bool>;
  static TestWave test;
  Wave& wave = test.wave;
  u64 values[kLanes][kSources];
  for (auto& lane : values) ((lane[I] = bits_of(random_value<A>(random))), ...);
  u32 bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    u64 before = random();
    constexpr u64 kWords = ~u64(0) >> (64 - 8 * sizeof(T));
    if (options.accumulates) before = (before & ~kWords) | values[lane][kSources - 1];
    wave.vgpr[kTarget][lane] = u32(before);
    wave.vgpr[kTarget + 1][lane] = u32(before >> 32);
    for (std::size_t i = 0; i < kSources; ++i) {
      if (forms[i].scalar && lane) values[lane][i] = values[0][i];
      if (forms[i].constant) values[lane][i] = forms[i].value;
      // What lies beyond 16 bits is nobody's.
      wave.vgpr[kFirstSource + 2 * i][lane] = u32(values[lane][i]);
      wave.vgpr[kFirstSource + 2 * i + 1][lane] = u32(values[lane][i] >> 32);
      if (forms[i].scalar) {
        wave.sgpr[kScalarSource] = u32(values[0][i]);
        wave.sgpr[kScalarSource + 1] = u32(values[0][i] >> 32);
      }
    }
    ((std::is_same_v<A, bool> ? void(bits |= u32(values[lane][I]) << lane) : void()), ...);
    ((sizeof(A) == 2 && !forms[I].scalar
          ? void(wave.vgpr[kFirstSource + 2 * I][lane] |= u32(random()) << 16)
          : void()),
     ...);
  }
  wave.sgpr[kBitSource] = bits;
  wave.vcc() = options.implied_bit ? bits : u32(random());
  wave.sgpr[kBitTarget] = u32(random());
  const u32 exec = random() % 4 ? ~0u : u32(random());
  wave.sgpr[kExecLo] = exec;

  std::string text = name;
  const char* comma = " ";
  const auto operand = [&](const std::string& s) { text += comma + s, comma = ", "; };
  if (!options.writes_exec)
    operand(kMask ? "s" + std::to_string(kBitTarget) : registers("v", kTarget, sizeof(T)));
  if (Result<R>::kBit) operand("s" + std::to_string(kBitTarget));
  const bool written[] = {!(options.accumulates && I + 1 == kSources) &&
                          !(options.implied_bit && std::is_same_v<A, bool>)...};
  ((written[I] ? operand(operand_text<A>(int(I), forms[I])) : void()), ...);
  text += options.suffix;
  if (clamp) text += " clamp";

  const Lanes low = wave.vgpr[kTarget], high = wave.vgpr[kTarget + 1];
  test.run(text);
  u32 mask = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::string where = text + ", lane " + std::to_string(lane);
    const u64 got = wave.vgpr[kTarget][lane] | u64(wave.vgpr[kTarget + 1][lane]) << 32;
    const u64 before = low[lane] | u64(high[lane]) << 32;
    if (!(exec >> lane & 1)) {
      ASSERT_EQ(got, before) << where;
      continue;
    }
    const R want = reference(from_bits<A>(modified<A>(values[lane][I], forms[I]))...);
    if constexpr (kMask) {
      mask |= u32(want) << lane;
    } else {
      T value;
      if constexpr (Result<R>::kBit)
        value = want.value, mask |= u32(want.bit) << lane;
      else
        value = want;
      if (clamp) clamped_to(value);
      constexpr u64 kWritten = ~u64(0) >> (64 - 8 * sizeof(T));
      std::string sources;
      ((sources += " " + std::to_string(I) + ":" +
                   [](u64 v) {
                     char b[32];
                     std::snprintf(b, 32, "%#llx", (unsigned long long)v);
                     return std::string(b);
                   }(values[lane][I])),
       ...);
      ASSERT_TRUE(same(value, from_bits<T>(got)))
          << where << std::hex << " want " << bits_of(value) << " got " << (got & kWritten) << " of"
          << sources;
      ASSERT_EQ(got & ~kWritten, before & ~kWritten) << where;
    }
  }
  if (kMask || Result<R>::kBit) {
    ASSERT_EQ(options.writes_exec ? wave.exec() : wave.sgpr[kBitTarget], mask) << text;
  }
}

template <class R, class... A, class F>
void check_all(const std::string& name, F reference, const Options& options, R (*)(A...)) {
  constexpr std::size_t kSources = sizeof...(A);
  constexpr auto kAll = std::index_sequence_for<A...>();
  using T = typename Result<R>::Type;
  static std::mt19937_64 random(7);
  constexpr bool kSigns[] = {kTakesSign<A>...};
  constexpr std::size_t kBytes[] = {sizeof(A)...};
  const auto once = [&](const std::array<Form, kSources>& forms, bool clamp = false) {
    check_once<R, A...>(name, reference, forms, clamp, options, random, kAll);
  };
  for (int i = 0; i < 40 && !::testing::Test::HasFatalFailure(); ++i) once({});
  if (!options.no_modifiers)
    for (int i = 0; i < 16 && !::testing::Test::HasFatalFailure(); ++i) {
      std::array<Form, kSources> forms;
      for (std::size_t s = 0; s < kSources; ++s) {
        const bool accumulator = options.accumulates && s + 1 == kSources;
        forms[s].negate = kSigns[s] && !accumulator && random() % 2;
        forms[s].absolute = kSigns[s] && !accumulator && random() % 2;
      }
      once(forms, options.clamps_float && kFloat<T> && i % 2);
    }
  if (options.no_scalars) return;
  for (int i = 0; i < 4 && !::testing::Test::HasFatalFailure(); ++i) {
    std::array<Form, kSources> forms;
    forms[0].scalar = true;
    once(forms);
  }
  std::array<Form, kSources> minus_one;
  minus_one[0].constant = "-1";
  minus_one[0].value = ~u64(0) >> (64 - 8 * kBytes[0]);
  if (!::testing::Test::HasFatalFailure()) once(minus_one);
}

/// `reference` is a lambda without captures; its types are those of the operands.
template <class F>
void check(const std::string& name, F reference, const Options& options = {}) {
  SCOPED_TRACE(name);
  check_all(name, reference, options, +reference);
}

}  // namespace isotope::sim::vector_test
