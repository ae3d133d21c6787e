#include "base/error.h"
#include "jit/rtc.h"

namespace isotope::jit {

std::unique_ptr<Compiler> open_compiler(std::string_view arch) {
  std::string tried;
  if (arch.starts_with("sm_")) {
    const RtcFlavour flavour = nvrtc_flavour();
    if (auto compiler = open_rtc(flavour, tried)) return compiler;
    fail(ErrorCode::not_found,
         "there is no compiler for {}: NVRTC is neither in the library path nor in a CUDA "
         "toolkit's folder; {}",
         arch, flavour.advice);
  }
  if (!arch.starts_with("gfx12"))
    fail(ErrorCode::unsupported,
         "no kernels for arch {}: known are gfx1200, gfx1201 and sm_80 to sm_121", arch);
  // A compiler that the environment names goes first.
  const bool clang_named = !environment("ISOTOPE_CLANG").empty();
  if (!clang_named)
    if (auto compiler = open_rtc(hiprtc_flavour(), tried)) return compiler;
  if (auto compiler = open_clang(tried)) return compiler;
  fail(ErrorCode::not_found,
       "there is no compiler for {}: neither hipRTC (ROCm) nor clang 19 or later was found; "
       "install ROCm, or the "
       "packages clang-19 and lld-19, or name one in ISOTOPE_HIPRTC_LIBRARY or ISOTOPE_CLANG",
       arch);
}

}  // namespace isotope::jit
