// Comparisons and classes: a bit of each lane into a scalar mask (v_cmp) or into exec (v_cmpx).
#include <string>

#include "sim/vector.h"

namespace isotope::sim {
namespace {

using namespace vector;

template <class T>
auto number(T value) {
  if constexpr (std::is_same_v<T, Half>)
    return value.value;
  else
    return value;
}

/// Names are kept by the table as views.
struct Pair {
  const char *compare, *compare_exec;
};
template <class F>
void add_pair(Opcodes& opcodes, const Pair& names, F function, Type type) {
  opcodes.add(names.compare, lanes<kArithmetic>(function), Class::valu, {Type::b32, type});
  opcodes.add(names.compare_exec, lanes<kArithmetic | kExec>(function), Class::valu, {type});
}

#define ISOTOPE_NAMES(test, type) \
  Pair { "v_cmp_" test "_" type, "v_cmpx_" test "_" type }

template <class T>
void add_ordered(Opcodes& opcodes, Type type, const std::array<Pair, 6>& names) {
  add_pair(
      opcodes, names[0], [](T a, T b) { return number(a) < number(b); }, type);
  add_pair(
      opcodes, names[1], [](T a, T b) { return number(a) == number(b); }, type);
  add_pair(
      opcodes, names[2], [](T a, T b) { return number(a) <= number(b); }, type);
  add_pair(
      opcodes, names[3], [](T a, T b) { return number(a) > number(b); }, type);
  add_pair(
      opcodes, names[4], [](T a, T b) { return number(a) >= number(b); }, type);
  // lg of floats: less or greater, so false of NaN.
  add_pair(
      opcodes, names[5], [](T a, T b) { return number(a) < number(b) || number(a) > number(b); },
      type);
}
template <class T>
void add_unordered(Opcodes& opcodes, Type type, const std::array<Pair, 8>& names) {
  add_pair(
      opcodes, names[0], [](T a, T b) { return !(number(a) < number(b)); }, type);
  add_pair(
      opcodes, names[1], [](T a, T b) { return !(number(a) == number(b)); }, type);
  add_pair(
      opcodes, names[2], [](T a, T b) { return !(number(a) <= number(b)); }, type);
  add_pair(
      opcodes, names[3], [](T a, T b) { return !(number(a) > number(b)); }, type);
  add_pair(
      opcodes, names[4], [](T a, T b) { return !(number(a) >= number(b)); }, type);
  add_pair(
      opcodes, names[5], [](T a, T b) { return !(number(a) < number(b) || number(a) > number(b)); },
      type);
  add_pair(
      opcodes, names[6], [](T a, T b) { return number(a) == number(a) && number(b) == number(b); },
      type);
  add_pair(
      opcodes, names[7], [](T a, T b) { return number(a) != number(a) || number(b) != number(b); },
      type);
}

#define ISOTOPE_INTEGER_NAMES(type)                                                     \
  {                                                                                     \
    ISOTOPE_NAMES("lt", type), ISOTOPE_NAMES("eq", type), ISOTOPE_NAMES("le", type),    \
        ISOTOPE_NAMES("gt", type), ISOTOPE_NAMES("ge", type), ISOTOPE_NAMES("ne", type) \
  }
#define ISOTOPE_ORDERED_NAMES(type)                                                     \
  {                                                                                     \
    ISOTOPE_NAMES("lt", type), ISOTOPE_NAMES("eq", type), ISOTOPE_NAMES("le", type),    \
        ISOTOPE_NAMES("gt", type), ISOTOPE_NAMES("ge", type), ISOTOPE_NAMES("lg", type) \
  }
#define ISOTOPE_UNORDERED_NAMES(type)                                                       \
  {                                                                                         \
    ISOTOPE_NAMES("nlt", type), ISOTOPE_NAMES("neq", type), ISOTOPE_NAMES("nle", type),     \
        ISOTOPE_NAMES("ngt", type), ISOTOPE_NAMES("nge", type), ISOTOPE_NAMES("nlg", type), \
        ISOTOPE_NAMES("o", type), ISOTOPE_NAMES("u", type)                                  \
  }

/// Bits of the second source: signalling and quiet NaN, then -infinity, -normal, -subnormal, -0, +0
/// … +infinity.
template <class Word, Word kExponent, Word kQuiet>
bool is_of_class(Word bits, u32 classes) {
  constexpr Word kSign = Word(Word(1) << (sizeof(Word) * 8 - 1));
  const Word magnitude = bits & Word(~kSign);
  const bool negative = bits & kSign;
  const Word exponent = magnitude & kExponent;
  const u32 from_zero = magnitude == kExponent ? 3 : exponent ? 2 : magnitude ? 1 : 0;
  const u32 number_class = negative ? 5 - from_zero : 6 + from_zero;
  const u32 which = magnitude > kExponent ? (magnitude & kQuiet ? 1 : 0) : number_class;
  return classes >> which & 1;
}
/// 64 bits with a float's modifiers.
u64 signed_bits(double value) { return std::bit_cast<u64>(value); }

void add_classes(Opcodes& opcodes) {
  const auto add = [&](const Pair& names, Handler compare, Handler compare_exec, Type type) {
    opcodes.add(names.compare, compare, Class::valu, {Type::b32, type, Type::b32});
    opcodes.add(names.compare_exec, compare_exec, Class::valu, {type, Type::b32});
  };
  const auto f16 = [](Bits16 a, u32 b) { return is_of_class<u16, 0x7c00, 0x200>(a.value, b); };
  const auto f32 = [](Bits a, u32 b) { return is_of_class<u32, 0x7f800000, 0x400000>(a.value, b); };
  const auto f64 = [](double a, u32 b) {
    return is_of_class<u64, 0x7ff0000000000000, 0x8000000000000>(signed_bits(a), b);
  };
  add(ISOTOPE_NAMES("class", "f16"), lanes(f16), lanes<kExec>(f16), Type::f16);
  add(ISOTOPE_NAMES("class", "f32"), lanes(f32), lanes<kExec>(f32), Type::f32);
  add(ISOTOPE_NAMES("class", "f64"), lanes(f64), lanes<kExec>(f64), Type::f64);
}

}  // namespace

void add_vector_compare(Opcodes& opcodes) {
  add_ordered<u16>(opcodes, Type::b16, {ISOTOPE_INTEGER_NAMES("u16")});
  add_ordered<i16>(opcodes, Type::b16, {ISOTOPE_INTEGER_NAMES("i16")});
  add_ordered<u32>(opcodes, Type::b32, {ISOTOPE_INTEGER_NAMES("u32")});
  add_ordered<i32>(opcodes, Type::b32, {ISOTOPE_INTEGER_NAMES("i32")});
  add_ordered<u64>(opcodes, Type::b64, {ISOTOPE_INTEGER_NAMES("u64")});
  add_ordered<i64>(opcodes, Type::i64, {ISOTOPE_INTEGER_NAMES("i64")});
  add_ordered<Half>(opcodes, Type::f16, {ISOTOPE_ORDERED_NAMES("f16")});
  add_unordered<Half>(opcodes, Type::f16, {ISOTOPE_UNORDERED_NAMES("f16")});
  add_ordered<float>(opcodes, Type::f32, {ISOTOPE_ORDERED_NAMES("f32")});
  add_unordered<float>(opcodes, Type::f32, {ISOTOPE_UNORDERED_NAMES("f32")});
  add_ordered<double>(opcodes, Type::f64, {ISOTOPE_ORDERED_NAMES("f64")});
  add_unordered<double>(opcodes, Type::f64, {ISOTOPE_UNORDERED_NAMES("f64")});
  add_classes(opcodes);
}

}  // namespace isotope::sim
