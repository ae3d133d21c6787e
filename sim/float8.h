// The 8-bit floats of OCP: FP8 is E4M3 (bias 7, largest 448, no infinities, NaN 0x7f and 0xff), BF8
// is E5M2 (bias 15, largest 57344, infinities, NaN 0x7d…0x7f).
#pragma once

#include "sim/wave.h"

namespace isotope::sim {

/// Of each code. NaN is the quiet one with the code's sign.
extern const std::array<float, 256> kFp8Values, kBf8Values;

/// Round to nearest even; subnormal results are kept, and NaN stays NaN with its sign. Beyond the
/// largest value, and infinity, becomes NaN (FP8) or infinity (BF8); with `clamp` (MODE.FP16_OVFL)
/// finite values become the largest one instead, and infinity is a Fault: what it becomes is not
/// documented.
u8 to_fp8(float value, bool clamp);
u8 to_bf8(float value, bool clamp);

}  // namespace isotope::sim
