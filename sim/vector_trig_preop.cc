// v_trig_preop_f64: the pieces of 2/pi that reduce a large angle.
#include "sim/vector_float.h"

namespace isotope::sim::vector {
namespace {

/// The fraction of 2/pi, its first bit first. Beyond the 1201 bits of the hardware lie zeros.
constexpr u64 kTwoOverPi[] = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
    0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d};
constexpr int kBits = 1201, kPiece = 53;

u64 bit(int i) { return i < kBits ? kTwoOverPi[i / 64] >> (63 - i % 64) & 1 : 0; }

/// 53 bits of 2/pi, from where they still matter for the quadrant of `angle` on: the leading ones
/// give multiples of whole turns.
double piece(double angle, u32 number) {
  const int exponent = int(std::bit_cast<u64>(angle) >> 52 & 0x7ff);
  const int shift = int(number & 31) * kPiece + std::max(exponent - 1077, 0);
  u64 bits = 0;
  for (int i = 0; i < kPiece; ++i) bits = bits << 1 | bit(shift + i);
  // Products of angles that large would not be finite.
  return std::ldexp(double(bits), -kPiece - shift + (exponent >= 1968 ? 128 : 0));
}

}  // namespace

void add_trig_preop(Opcodes& opcodes) {
  opcodes.add("v_trig_preop_f64",
              lanes<kArithmetic | kOwnNans>([](double a, u32 b) { return piece(a, b); }),
              Class::valu, {Type::f64, Type::f64, Type::b32});
}

}  // namespace isotope::sim::vector
