// Logarithm and exponential in double precision: no library is at hand in kernel text, and the finalists of a draw must
// score as they do on the host. Both are fdlibm's (Sun Microsystems, 1993), good to one unit in the last place.
#pragma once

namespace isotope::gpu {

union DoubleBits {
  double value;
  u64 bits;
};
ISOTOPE_DEVICE u64 bits_of_double(double v) {
  DoubleBits b;
  b.value = v;
  return b.bits;
}
ISOTOPE_DEVICE double double_of(u64 v) {
  DoubleBits b;
  b.bits = v;
  return b.value;
}

/// ln x of a normal, positive x.
ISOTOPE_DEVICE double log64(double x) {
  const u64 bits = bits_of_double(x);
  int exponent = int(bits >> 52) - 1023;
  double m = double_of((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double f = m - 1.0, s = f / (2.0 + f), z = s * s, w = z * z, half = 0.5 * f * f, k = exponent;
  const double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double odd = z * (6.666666666666735130e-01 +
                          w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  return k * 6.93147180369123816490e-01 -
         ((half - (s * (half + even + odd) + k * 1.90821492927058770002e-10)) - f);
}

/// e^x for x ≤ 0; 0 below the normal numbers.
ISOTOPE_DEVICE double exp64(double x) {
  if (!(x > -708.0)) return 0.0;
  const int k = int(x * 1.44269504088896338700e+00 - 0.5);
  const double hi = x - k * 6.93147180369123816490e-01, lo = k * 1.90821492927058770002e-10, r = hi - lo, t = r * r;
  const double c =
      r - t * (1.66666666666666019037e-01 +
               t * (-2.77777777770155933842e-03 +
                    t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  const double y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
  return y * double_of(u64(k + 1023) << 52);
}

}  // namespace isotope::gpu
