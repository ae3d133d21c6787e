// Reciprocals, roots, exponentials, logarithms, sine and cosine: the hardware's are within 1 ulp,
// these are rounded correctly.
#include "sim/vector_float.h"

namespace isotope::sim::vector {
namespace {

/// In revolutions; exact at quarters.
double sine(double turns) {
  if (!std::isfinite(turns)) return NAN;
  const double part = turns - __builtin_roundeven(turns), size = std::abs(part);
  const double folded = size > 0.25 ? 0.5 - size : size;
  const double value =
      folded > 0.125 ? std::cos((0.25 - folded) * (2 * M_PI)) : std::sin(folded * (2 * M_PI));
  return std::copysign(value, part == 0 ? turns : part);
}
double cosine(double turns) {
  if (!std::isfinite(turns)) return NAN;
  const double size = std::abs(turns - __builtin_roundeven(turns));
  return size == 0.25 ? 0 : sine(0.25 - size);
}

/// The units know no f32 subnormals, whatever the mode says: sources and results of them are zero.
float without_subnormals(float value) {
  return std::abs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}

template <class F>
constexpr Handler lanes_f32(F) {
  return lanes<kArithmetic>(
      [](float a) { return without_subnormals(float(F{}(double(without_subnormals(a))))); });
}
template <class F>
constexpr Handler lanes_f16(F) {
  return lanes<kArithmetic>([](Half a) { return Half{round_to_odd(F{}(double(a.value)))}; });
}

/// One value of a scalar register, through the same steps as a lane.
template <class F, class T>
void run_scalar(Wave& wave, const Instruction& in) {
  Buffer from, to;
  const Operand& operand = in.operands[1];
  Source source{from.low.data(), from.high.data()};
  from.low.fill(u32(scalar_value(wave, operand)));
  if (operand.negate || operand.absolute) change_sign<T>(operand, source, from);
  if constexpr (std::is_same_v<T, Half>)
    to.low.fill(to_f16(round_to_odd(F{}(double(from_f16(source.low[0]))))));
  else
    to.low.fill(std::bit_cast<u32>(without_subnormals(
        float(F{}(double(without_subnormals(std::bit_cast<float>(source.low[0]))))))));
  const int is_float = 0;
  if (has_nan<T>(to)) mend_nans(T{}, &source, &is_float, 1, to);
  if (in.clamp || in.output_scale) finish(T{}, wave, in, to);
  set_scalar(wave, in.operands[0], to.low[0]);
}

struct Names {
  const char *f32, *f16, *scalar_f32, *scalar_f16;
};
template <class F>
void add_all(Opcodes& opcodes, const Names& names, F function) {
  opcodes.add(names.f32, lanes_f32(function), Class::transcendental, {Type::f32});
  opcodes.add(names.f16, lanes_f16(function), Class::transcendental, {Type::f16});
  if (!names.scalar_f32) return;
  opcodes.add(names.scalar_f32, run_scalar<F, float>, Class::transcendental, {Type::f32});
  opcodes.add(names.scalar_f16, run_scalar<F, Half>, Class::transcendental, {Type::f16});
}

}  // namespace

void add_transcendental(Opcodes& opcodes) {
  const auto reciprocal = [](double a) { return 1 / a; };
  const auto root = [](double a) { return std::sqrt(a); };
  const auto reciprocal_root = [](double a) { return 1 / std::sqrt(a); };
  add_all(opcodes, {"v_rcp_f32", "v_rcp_f16", "v_s_rcp_f32", "v_s_rcp_f16"}, reciprocal);
  add_all(opcodes, {"v_sqrt_f32", "v_sqrt_f16", "v_s_sqrt_f32", "v_s_sqrt_f16"}, root);
  add_all(opcodes, {"v_rsq_f32", "v_rsq_f16", "v_s_rsq_f32", "v_s_rsq_f16"}, reciprocal_root);
  add_all(opcodes, {"v_exp_f32", "v_exp_f16", "v_s_exp_f32", "v_s_exp_f16"},
          [](double a) { return std::exp2(a); });
  add_all(opcodes, {"v_log_f32", "v_log_f16", "v_s_log_f32", "v_s_log_f16"},
          [](double a) { return std::log2(a); });
  add_all(opcodes, {"v_sin_f32", "v_sin_f16", nullptr, nullptr}, [](double a) { return sine(a); });
  add_all(opcodes, {"v_cos_f32", "v_cos_f16", nullptr, nullptr},
          [](double a) { return cosine(a); });
  opcodes.add("v_rcp_iflag_f32", lanes_f32(reciprocal), Class::transcendental, {Type::f32});
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::transcendental, {Type::f64});
  };
  add("v_rcp_f64", lanes<kArithmetic>([](double a) { return 1 / a; }));
  add("v_sqrt_f64", lanes<kArithmetic>([](double a) { return std::sqrt(a); }));
  add("v_rsq_f64", lanes<kArithmetic>([](double a) { return 1 / std::sqrt(a); }));
}

}  // namespace isotope::sim::vector
