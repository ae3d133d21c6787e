// Kernels for simulated_test.cc, compiled for gfx1201: one that is right and ones with planted faults.
#define KERNEL extern "C" __attribute__((global, amdgpu_flat_work_group_size(1, 256))) void
#define SHARED __attribute__((shared))

#include "tests/gpu/simulated_params.h"

namespace {

__attribute__((device)) unsigned thread() { return __builtin_amdgcn_workitem_id_x(); }
__attribute__((device)) unsigned block() { return __builtin_amdgcn_workgroup_id_x(); }
__attribute__((device)) void barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}

SHARED unsigned words[256];

}  // namespace

using isotope::gpu::SimulatedParams;

/// out[i] = in[i] of the thread 33 further on, by LDS.
KERNEL rotate(SimulatedParams p) {
  words[thread()] = p.in[block() * 256 + thread()];
  barrier();
  p.out[block() * 256 + thread()] = words[(thread() + 33) % 256];
}

/// As rotate, but nothing orders the waves.
KERNEL missing_barrier(SimulatedParams p) {
  words[thread()] = p.in[block() * 256 + thread()];
  __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "wavefront");
  p.out[block() * 256 + thread()] = words[(thread() + 33) % 256];
}

/// One element too far.
KERNEL off_by_one(SimulatedParams p) { p.out[block() * 256 + thread() + 1] = 1; }

/// Half of the waves never come to the barrier.
KERNEL divergent_barrier(SimulatedParams p) {
  if (thread() < 128) barrier();
  p.out[thread()] = 1;
}

/// Reads LDS that nobody wrote.
KERNEL unwritten_lds(SimulatedParams p) { p.out[thread()] = words[thread()]; }
