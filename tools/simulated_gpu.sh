# Lets every program that this shell starts find a simulated Radeon RX 9070 XT (gfx1201) instead of the machine's HIP runtime:
# it executes the machine code that clang makes, on the CPU. To be sourced:
#   cmake --build build/release --target simulated_gpu
#   source tools/simulated_gpu.sh [build folder]
# ISOTOPE_SIM_REPORT=FILE: a line of JSON for each launch is appended to FILE.
isotope_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
isotope_build=$(cd "$isotope_root" && cd "${1:-build/release}" && pwd)
export ISOTOPE_HIP_LIBRARY=$isotope_build/tests/gpu/libisotope_sim_hip.so
[ -f "$ISOTOPE_HIP_LIBRARY" ] || echo "build the target simulated_gpu first: $ISOTOPE_HIP_LIBRARY" >&2
export ISOTOPE_TEST_DEVICE=hip
# A compiler that is named goes first: hipRTC would need ROCm.
export ISOTOPE_CLANG=${ISOTOPE_CLANG:-clang-19}
unset ISOTOPE_HIPRTC_LIBRARY ISOTOPE_CUDA_LIBRARY ISOTOPE_NVRTC_LIBRARY
# Code for a real gfx1201 is the same, but a test compiles what it runs.
export ISOTOPE_CACHE=$isotope_build/simulated-cache
mkdir -p "$ISOTOPE_CACHE"
unset isotope_root isotope_build
