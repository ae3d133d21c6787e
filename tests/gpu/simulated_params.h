// Parameters of the kernels in simulated_kernels.cu.
#pragma once

namespace isotope::gpu {

struct SimulatedParams {
  const unsigned* in;
  unsigned* out;
};

}  // namespace isotope::gpu
