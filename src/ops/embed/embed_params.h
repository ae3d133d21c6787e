// What host and device code of embed share.
#pragma once

namespace isotope::gpu {

struct EmbedParams {
  const void* table;    ///< layout gpu_tile128 or gpu_rows, in device or page-locked host memory
  const float* scales;  ///< null: none
  const int* ids;       ///< [rows]
  float* out;           ///< [rows, k]
  long long out_stride;
  int n, k;
  int vectors;          ///< of 16 bytes in a row of the table
  int tiles;            ///< 1: gpu_tile128, 0: gpu_rows
  int scale_shift;      ///< scales of row r begin at (r >> scale_shift) · scale_columns
  int scale_columns;    ///< 1: one scale a row; else one for each 128 values of k
};

}  // namespace isotope::gpu
