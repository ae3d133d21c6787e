#include "ops/attention/attention_simd.h"

namespace isotope::ops::cpu {

const AttentionKernel& attention_kernel_avx2(DType kv_dtype) {
  static constexpr AttentionKernel kBf16 = Attention<Bf16Kv>::kernel();
  static constexpr AttentionKernel kFp8 = Attention<Fp8HalfKv>::kernel();
  return kv_dtype == DType::bf16 ? kBf16 : kFp8;
}

}  // namespace isotope::ops::cpu
