// hipRTC: ROCm's run-time compiler, code objects for gfx*.
#include <fmt/format.h>

#include "jit/rtc.h"

namespace isotope::jit {
namespace {

std::vector<std::string> hiprtc_options(std::string_view arch) {
  std::vector<std::string> options = {fmt::format("--offload-arch={}", arch), "-std=c++20", "-O3"};
  for (std::string& option : gfx_options(arch)) options.push_back(std::move(option));
  return options;
}

}  // namespace

std::vector<std::string> gfx_options(std::string_view arch) {
  if (arch.starts_with("gfx12")) return {"-DISOTOPE_GFX12=1"};
  return {};
}

RtcFlavour hiprtc_flavour() {
  RtcFlavour flavour{.name = "hipRTC",
                     .prefix = "hiprtc",
                     .code = "Code",
                     .variable = "ISOTOPE_HIPRTC_LIBRARY",
                     .libraries = {"libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so"},
                     .advice = "",
                     .options = hiprtc_options};
  std::vector<std::string> folders;
  for (const char* variable : {"ROCM_PATH", "HIP_PATH"})
    if (const std::string home = environment(variable); !home.empty()) folders.push_back(home);
  folders.push_back("/opt/rocm");
  for (std::string& folder : versioned_paths("/opt", "rocm-", ""))
    folders.push_back(std::move(folder));
  for (const std::string& folder : folders)
    for (const char* file : {"/lib/libhiprtc.so.7", "/lib/libhiprtc.so.6", "/lib/libhiprtc.so"})
      flavour.libraries.push_back(folder + file);
  return flavour;
}

}  // namespace isotope::jit
