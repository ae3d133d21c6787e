// Parameters of emulation_kernels.cu.
#pragma once

namespace isotope::gpu {

/// Two arrays in, three out; `mode` chooses.
struct EmulationParams {
  const unsigned* in;
  const unsigned* in2;
  unsigned* out;
  unsigned* out2;
  unsigned* out3;
  int count;
  int mode;
};

}  // namespace isotope::gpu
