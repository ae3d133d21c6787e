// What the prefill kernels are launched with.
#pragma once

namespace isotope::gpu {

/// prefill_inputs_*: row m of the operand is made of x[row_index ? row_index[begin + m] : begin + m].
struct PrefillInputsParams {
  const void* x;         ///< f32 or bf16 [*, ≥ k]
  const int* row_index;  ///< null: the identity
  const float* norm;     ///< g[k]; null: no RMSNorm
  void* out;             ///< tiles of 128 rows × 128 bytes of k, core order of gpu_tile128
  float* scales;         ///< FP8: [k / 128][scale_stride]
  long long x_stride;    ///< elements
  long long begin;
  long long k, padded_k;   ///< padded to a multiple of 128 bytes
  long long term_bytes;    ///< from the first FP8 term to the second
  long long scale_stride;  ///< a multiple of 128
  float eps;
  int x_is_f32;
  int vectors;  ///< rows of x and g may be read 16 bytes at a time
};

/// The product: rows × features, both operands in tiles.
struct PrefillParams {
  const void* a;          ///< inputs, as prefill_inputs_* leaves them
  const float* a_scales;  ///< FP8: [k_blocks][a_scale_stride]
  const void* w;          ///< weights in layout gpu_tile128
  const float* w_scales;  ///< as LinearWeight says; null: none
  void* y;                ///< row 0 of this launch
  long long a_term_bytes;
  long long a_scale_stride;
  long long y_stride;  ///< elements
  int rows;
  int outputs;   ///< columns of y
  int w_tiles;   ///< padded_n / 128
  int k_blocks;  ///< of 128 bytes, which is 128 values if the weights are FP8
  int epilogue;  ///< PrefillEpilogue
  int y_is_f32;
  int vectors;  ///< rows of y begin at multiples of 16 bytes and have a multiple of 8 outputs
};

enum PrefillEpilogue { prefill_store = 0, prefill_add = 1, prefill_swiglu = 2 };

/// How weight scales are applied.
enum PrefillScales {
  prefill_scales_end = 0,      ///< none, or one per feature, after all of k
  prefill_scales_block = 1,    ///< one per 8 packed rows and 128 of k
  prefill_scales_feature = 2,  ///< one per packed row and 128 of k
};

}  // namespace isotope::gpu
