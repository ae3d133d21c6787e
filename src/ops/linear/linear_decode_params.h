// What host and device code of the decode-phase linear layers share.
#pragma once

namespace isotope::gpu {

/// The rows that a product reads.
struct LinearSource {
  const void* x;         ///< f32 or bf16
  const int* row_index;  ///< row m reads x[row_index[m]], or zeros if that is negative; null: x[m]
  const float* norm;     ///< g[k]; null: no RMSNorm
  long long stride;      ///< elements from row to row of x
  int bf16;              ///< x is bf16, else f32
  int aligned;           ///< k is a multiple of 4, rows of x and g begin at multiples of four elements
  int rows, k, padded_k;
  float eps;
};

struct LinearInputsParams {
  LinearSource source;
  void* out;               ///< for each tile of input rows its fragments, see linear_inputs.cuh
  float* scales;           ///< FP8 weights: see linear_inputs.cuh
  unsigned int* counters;  ///< set to zero
  int num_counters;
};

struct LinearDecodeParams {
  LinearSource source;        ///< x for the fused form; always rows and k
  const void* weights;        ///< layout gpu_tile128
  const float* scales;        ///< null: none
  const void* inputs;         ///< what linear_inputs made; unused by the fused form
  const float* input_scales;
  void* y;
  float* partials;            ///< wide form with several groups: [grid y][row tiles · groups][128 rows · columns]
  unsigned int* counters;     ///< [grid y][row tiles], zero before
  long long y_stride;
  int n;                      ///< features of y without swiglu: packed rows that count
  int k_tiles;                ///< of 128 bytes
  int strips;                 ///< of 16 packed rows
  int groups;                 ///< of the kParts parts of k: sums are made within groups, then over groups
  int epilogue;               ///< 0 store, 1 add, 2 swiglu
  int y_bf16;
};

}  // namespace isotope::gpu
