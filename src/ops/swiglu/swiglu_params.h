// What host and device code of swiglu share.
#pragma once

namespace isotope::gpu {

constexpr int kSwigluThreads = 256;
constexpr int kSwigluValues = 4;  ///< of a thread

struct SwigluParams {
  const void* gate_up;  ///< [rows, 2·width], `in_stride` elements apart
  void* out;            ///< [rows, width], `out_stride` apart
  long long in_stride, out_stride;
  int width;
};

}  // namespace isotope::gpu
