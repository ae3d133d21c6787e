# Lets every program that this shell starts find an emulated GPU instead of the machine's drivers. To be sourced:
#   cmake --build build/release --target emulated_gpu
#   source tools/emulated_gpu.sh cuda|hip [build folder]
isotope_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
isotope_build=$(cd "$isotope_root" && cd "${2:-build/release}" && pwd)
isotope_emulated=$isotope_build/tests/gpu/libisotope_emulated
case ${1:-} in
  cuda)
    export ISOTOPE_CUDA_LIBRARY=${isotope_emulated}_cuda.so ISOTOPE_NVRTC_LIBRARY=${isotope_emulated}_nvrtc.so
    unset ISOTOPE_HIP_LIBRARY ISOTOPE_HIPRTC_LIBRARY
    ;;
  hip)
    export ISOTOPE_HIP_LIBRARY=${isotope_emulated}_hip.so ISOTOPE_HIPRTC_LIBRARY=${isotope_emulated}_hiprtc.so
    unset ISOTOPE_CUDA_LIBRARY ISOTOPE_NVRTC_LIBRARY
    ;;
  *)
    echo "usage: source tools/emulated_gpu.sh cuda|hip [build folder]" >&2
    ;;
esac
case ${1:-} in
  cuda | hip)
    [ -f "${isotope_emulated}_$1.so" ] || echo "build the target emulated_gpu first: ${isotope_emulated}_$1.so" >&2
    export ISOTOPE_TEST_DEVICE=$1
    export ISOTOPE_EMULATED_ROOT=$isotope_root
    # Code for this GPU is a library of the host: kept apart from code for real ones.
    export ISOTOPE_CACHE=$isotope_build/emulated-cache/$1
    mkdir -p "$ISOTOPE_CACHE"
    ;;
esac
unset isotope_root isotope_build isotope_emulated
