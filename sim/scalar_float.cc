// Scalar floating point: SOP1, SOP2 and SOPC on f32 and f16.
#include <cmath>
#include <utility>

#include "sim/lanes.h"

namespace isotope::sim {
namespace {

constexpr u32 kNan32 = 0x7fc00000;
constexpr u16 kNan16 = 0x7e00;

/// The two formats: how they are read, with subnormals as the mode wants them, and made.
struct F32 {
  using Float = float;
  using Bits = u32;
  static constexpr Bits kSign = 0x80000000u, kInfinity = 0x7f800000u, kQuiet = 0x00400000u,
                        kDefaultNan = kNan32;
  static constexpr Type kType = Type::f32;
  static bool subnormals(const FloatMode& mode) { return mode.denormals_32; }
  static void check_mode(const FloatMode& mode) {
    if (mode.round_32 != 0) throw Fault("a scalar operation that does not round to the nearest");
  }
};
struct F16 {
  using Float = _Float16;
  using Bits = u16;
  static constexpr Bits kSign = 0x8000, kInfinity = 0x7c00, kQuiet = 0x0200, kDefaultNan = kNan16;
  static constexpr Type kType = Type::f16;
  static bool subnormals(const FloatMode& mode) { return mode.denormals_16_64; }
  static void check_mode(const FloatMode& mode) {
    if (mode.round_16_64 != 0 || mode.clamp_overflow)
      throw Fault(
          "a scalar operation on f16 that does not round to the nearest or does not overflow");
  }
};

template <typename F>
bool is_nan(typename F::Bits bits) {
  return typename F::Bits(bits & ~F::kSign) > F::kInfinity;
}
template <typename F>
bool is_signaling(typename F::Bits bits) {
  return is_nan<F>(bits) && !(bits & F::kQuiet);
}
template <typename F>
typename F::Bits flushed(const FloatMode& mode, typename F::Bits bits) {
  const bool tiny = typename F::Bits(bits & ~F::kSign) < typename F::Bits(F::kQuiet << 1);
  return tiny && !F::subnormals(mode) ? typename F::Bits(bits & F::kSign) : bits;
}
template <typename F>
typename F::Bits source(const Wave& wave, const Instruction& in, std::size_t i) {
  return flushed<F>(wave.mode, typename F::Bits(scalar_value(wave, in.operands[i])));
}
template <typename F>
typename F::Float number(typename F::Bits bits) {
  return std::bit_cast<typename F::Float>(bits);
}
/// The bits of a result; a NaN made of other operands is positive.
template <typename F>
typename F::Bits bits_of(const FloatMode& mode, typename F::Float value) {
  const auto bits = std::bit_cast<typename F::Bits>(value);
  return is_nan<F>(bits) ? F::kDefaultNan : flushed<F>(mode, bits);
}
/// An operand that is not a number goes on as it is, quiet: the first one.
template <typename F, typename... Sources>
bool first_nan(typename F::Bits& out, Sources... sources) {
  bool found = false;
  for (const typename F::Bits bits : {sources...})
    if (!found && is_nan<F>(bits)) out = typename F::Bits(bits | F::kQuiet), found = true;
  return found;
}

template <typename F, auto kOperation>
void unary(Wave& wave, const Instruction& in) {
  const auto a = source<F>(wave, in, 1);
  typename F::Bits out;
  if (!first_nan<F>(out, a)) out = bits_of<F>(wave.mode, kOperation(number<F>(a)));
  set_scalar(wave, in.operands[0], out);
}
template <typename F, auto kOperation>
void binary(Wave& wave, const Instruction& in) {
  F::check_mode(wave.mode);
  const auto a = source<F>(wave, in, 1), b = source<F>(wave, in, 2);
  typename F::Bits out;
  if (!first_nan<F>(out, a, b)) out = bits_of<F>(wave.mode, kOperation(number<F>(a), number<F>(b)));
  set_scalar(wave, in.operands[0], out);
}

float fused(float a, float b, float c) { return std::fma(a, b, c); }
/// Exact before it is rounded: 64 bits hold every bit from the product's last to the highest of
/// either.
_Float16 fused(_Float16 a, _Float16 b, _Float16 c) {
  return static_cast<_Float16>(static_cast<long double>(a) * static_cast<long double>(b) +
                               static_cast<long double>(c));
}
/// kA · kB + kC, each the index of an operand.
template <typename F, std::size_t kA, std::size_t kB, std::size_t kC>
void multiply_add(Wave& wave, const Instruction& in) {
  F::check_mode(wave.mode);
  const auto a = source<F>(wave, in, kA), b = source<F>(wave, in, kB), c = source<F>(wave, in, kC);
  typename F::Bits out;
  if (!first_nan<F>(out, a, b, c))
    out = bits_of<F>(wave.mode, fused(number<F>(a), number<F>(b), number<F>(c)));
  set_scalar(wave, in.operands[0], out);
}

/// -0 is less than +0.
template <typename F>
bool less(typename F::Bits a, typename F::Bits b) {
  const auto x = number<F>(a), y = number<F>(b);
  return x < y || (x == y && (a & F::kSign) && !(b & F::kSign));
}
/// A number wins over what is none.
template <typename F, bool kMin>
void extreme_number(Wave& wave, const Instruction& in) {
  const auto a = source<F>(wave, in, 1), b = source<F>(wave, in, 2);
  typename F::Bits out;
  if (is_nan<F>(a) && is_nan<F>(b))
    out = typename F::Bits(a | F::kQuiet);
  else if (is_nan<F>(a))
    out = b;
  else if (is_nan<F>(b))
    out = a;
  else
    out = (kMin ? less<F>(a, b) : less<F>(b, a)) ? a : b;
  set_scalar(wave, in.operands[0], out);
}
/// What is no number wins, a signaling one before others.
template <typename F, bool kMin>
void extreme(Wave& wave, const Instruction& in) {
  const auto a = source<F>(wave, in, 1), b = source<F>(wave, in, 2);
  typename F::Bits out;
  if (is_signaling<F>(b) && !is_signaling<F>(a))
    out = typename F::Bits(b | F::kQuiet);
  else if (!first_nan<F>(out, a, b))
    out = (kMin ? less<F>(a, b) : less<F>(b, a)) ? a : b;
  set_scalar(wave, in.operands[0], out);
}

template <typename F, auto kOperation>
void compare(Wave& wave, const Instruction& in) {
  wave.scc = kOperation(float(number<F>(source<F>(wave, in, 0))),
                        float(number<F>(source<F>(wave, in, 1))));
}

/// Towards zero, the nearest integer that there is; 0 for what is no number.
template <typename T>
void to_integer(Wave& wave, const Instruction& in) {
  const double value = number<F32>(source<F32>(wave, in, 1));
  const double low = double(std::numeric_limits<T>::min()),
               high = double(std::numeric_limits<T>::max());
  const T out = std::isnan(value) ? T(0) : T(std::trunc(std::fmin(std::fmax(value, low), high)));
  set_scalar(wave, in.operands[0], u32(out));
}
template <typename T>
void from_integer(Wave& wave, const Instruction& in) {
  F32::check_mode(wave.mode);
  set_scalar(wave, in.operands[0],
             std::bit_cast<u32>(float(T(scalar_value(wave, in.operands[1])))));
}

/// A NaN keeps its sign and the upper bits of its payload.
u16 f16_from_f32(const FloatMode& mode, u32 bits) {
  if (is_nan<F32>(bits)) return u16(bits >> 16 & 0x8000) | kNan16 | u16(bits >> 13 & 0x3ff);
  return bits_of<F16>(mode, static_cast<_Float16>(number<F32>(bits)));
}
u32 f32_from_f16(const FloatMode& mode, u16 bits) {
  if (is_nan<F16>(bits)) return u32(bits & 0x8000) << 16 | kNan32 | u32(bits & 0x3ff) << 13;
  return std::bit_cast<u32>(float(number<F16>(flushed<F16>(mode, bits))));
}
/// The nearest f16 that is not larger in magnitude.
u16 truncated_to_f16(const FloatMode& mode, u32 bits) {
  const u16 nearest = f16_from_f32(mode, bits);
  if (is_nan<F32>(bits) || std::fabs(float(number<F16>(nearest))) <= std::fabs(number<F32>(bits)))
    return nearest;
  return flushed<F16>(mode, u16(nearest - 1));
}
void narrow(Wave& wave, const Instruction& in) {
  F16::check_mode(wave.mode);
  set_scalar(wave, in.operands[0], f16_from_f32(wave.mode, source<F32>(wave, in, 1)));
}
template <int kShift>
void widen(Wave& wave, const Instruction& in) {
  set_scalar(wave, in.operands[0],
             f32_from_f16(wave.mode, u16(scalar_value(wave, in.operands[1]) >> kShift)));
}
void pack_truncated(Wave& wave, const Instruction& in) {
  const u32 low = truncated_to_f16(wave.mode, source<F32>(wave, in, 1));
  const u32 high = truncated_to_f16(wave.mode, source<F32>(wave, in, 2));
  set_scalar(wave, in.operands[0], low | high << 16);
}

template <typename F>
struct Names {
  Opcodes& opcodes;
  void add(const char* f32, const char* f16, Handler run) const {
    opcodes.add(std::is_same_v<F, F32> ? f32 : f16, run, Class::salu, {F::kType});
  }
};

template <typename F>
void add_arithmetic(Opcodes& opcodes) {
  using Float = typename F::Float;
  const Names<F> names{opcodes};
  names.add("s_add_f32", "s_add_f16", binary<F, ([](Float a, Float b) { return Float(a + b); })>);
  names.add("s_sub_f32", "s_sub_f16", binary<F, ([](Float a, Float b) { return Float(a - b); })>);
  names.add("s_mul_f32", "s_mul_f16", binary<F, ([](Float a, Float b) { return Float(a * b); })>);
  names.add("s_fmac_f32", "s_fmac_f16", multiply_add<F, 1, 2, 0>);
  names.add("s_min_num_f32", "s_min_num_f16", extreme_number<F, true>);
  names.add("s_max_num_f32", "s_max_num_f16", extreme_number<F, false>);
  names.add("s_minimum_f32", "s_minimum_f16", extreme<F, true>);
  names.add("s_maximum_f32", "s_maximum_f16", extreme<F, false>);
  names.add("s_ceil_f32", "s_ceil_f16",
            unary<F, ([](Float a) { return Float(std::ceil(float(a))); })>);
  names.add("s_floor_f32", "s_floor_f16",
            unary<F, ([](Float a) { return Float(std::floor(float(a))); })>);
  names.add("s_trunc_f32", "s_trunc_f16",
            unary<F, ([](Float a) { return Float(std::trunc(float(a))); })>);
  names.add("s_rndne_f32", "s_rndne_f16",
            unary<F, ([](Float a) { return Float(std::nearbyint(float(a))); })>);
}

template <typename F>
void add_compares(Opcodes& opcodes) {
  const Names<F> names{opcodes};
  names.add("s_cmp_lt_f32", "s_cmp_lt_f16", compare<F, ([](float a, float b) { return a < b; })>);
  names.add("s_cmp_eq_f32", "s_cmp_eq_f16", compare<F, ([](float a, float b) { return a == b; })>);
  names.add("s_cmp_le_f32", "s_cmp_le_f16", compare<F, ([](float a, float b) { return a <= b; })>);
  names.add("s_cmp_gt_f32", "s_cmp_gt_f16", compare<F, ([](float a, float b) { return a > b; })>);
  names.add("s_cmp_lg_f32", "s_cmp_lg_f16",
            compare<F, ([](float a, float b) { return a < b || a > b; })>);
  names.add("s_cmp_ge_f32", "s_cmp_ge_f16", compare<F, ([](float a, float b) { return a >= b; })>);
  names.add("s_cmp_o_f32", "s_cmp_o_f16",
            compare<F, ([](float a, float b) { return a == a && b == b; })>);
  names.add("s_cmp_u_f32", "s_cmp_u_f16",
            compare<F, ([](float a, float b) { return a != a || b != b; })>);
  names.add("s_cmp_nge_f32", "s_cmp_nge_f16",
            compare<F, ([](float a, float b) { return !(a >= b); })>);
  names.add("s_cmp_nlg_f32", "s_cmp_nlg_f16",
            compare<F, ([](float a, float b) { return !(a < b || a > b); })>);
  names.add("s_cmp_ngt_f32", "s_cmp_ngt_f16",
            compare<F, ([](float a, float b) { return !(a > b); })>);
  names.add("s_cmp_nle_f32", "s_cmp_nle_f16",
            compare<F, ([](float a, float b) { return !(a <= b); })>);
  names.add("s_cmp_neq_f32", "s_cmp_neq_f16",
            compare<F, ([](float a, float b) { return !(a == b); })>);
  names.add("s_cmp_nlt_f32", "s_cmp_nlt_f16",
            compare<F, ([](float a, float b) { return !(a < b); })>);
}

}  // namespace

void add_scalar_float(Opcodes& opcodes) {
  add_arithmetic<F32>(opcodes);
  add_arithmetic<F16>(opcodes);
  add_compares<F32>(opcodes);
  add_compares<F16>(opcodes);
  opcodes.add("s_fmaak_f32", multiply_add<F32, 1, 2, 3>, Class::salu, {Type::f32});
  opcodes.add("s_fmamk_f32", multiply_add<F32, 1, 2, 3>, Class::salu, {Type::f32});
  opcodes.add("s_cvt_f32_i32", from_integer<i32>, Class::salu);
  opcodes.add("s_cvt_f32_u32", from_integer<u32>, Class::salu);
  opcodes.add("s_cvt_i32_f32", to_integer<i32>, Class::salu, {Type::f32});
  opcodes.add("s_cvt_u32_f32", to_integer<u32>, Class::salu, {Type::f32});
  opcodes.add("s_cvt_f16_f32", narrow, Class::salu, {Type::f32});
  opcodes.add("s_cvt_f32_f16", widen<0>, Class::salu, {Type::f16});
  opcodes.add("s_cvt_hi_f32_f16", widen<16>, Class::salu, {Type::f16});
  opcodes.add("s_cvt_pk_rtz_f16_f32", pack_truncated, Class::salu, {Type::f32});
}

}  // namespace isotope::sim
