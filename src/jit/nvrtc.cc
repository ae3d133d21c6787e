// NVRTC: CUDA's run-time compiler, machine code for sm_*.
#include <fmt/format.h>

#include "base/error.h"
#include "jit/rtc.h"

namespace isotope::jit {
namespace {

/// "sm_90a" → --gpu-architecture=sm_90a, ISOTOPE_SM=90, ISOTOPE_SM_A=1.
std::vector<std::string> nvrtc_options(std::string_view arch) {
  const std::size_t end = arch.find_first_not_of("0123456789", 3);
  const std::string_view number = arch.substr(3, end == std::string_view::npos ? end : end - 3);
  std::vector<std::string> options = {fmt::format("--gpu-architecture={}", arch), "-std=c++17", "-default-device",
                                      fmt::format("-DISOTOPE_SM={}", number)};
  if (arch.ends_with('a')) options.push_back("-DISOTOPE_SM_A=1");
  return options;
}

}  // namespace

RtcFlavour nvrtc_flavour() {
  RtcFlavour flavour{.name = "NVRTC",
                     .prefix = "nvrtc",
                     .code = "CUBIN",
                     .variable = "ISOTOPE_NVRTC_LIBRARY",
                     .libraries = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"},
                     .advice =
                         "install CUDA's NVRTC 12 or 13 (Debian package libnvrtc12, NVIDIA's "
                         "cuda-nvrtc-*), or name "
                         "the library in ISOTOPE_NVRTC_LIBRARY",
                     .options = nvrtc_options};
  std::vector<std::string> folders;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string home = environment(variable); !home.empty()) folders.push_back(home);
  folders.insert(folders.end(), {"/usr/local/cuda", "/opt/cuda"});
  for (std::string& folder : versioned_paths("/usr/local", "cuda-", ""))
    folders.push_back(std::move(folder));
  for (const std::string& folder : folders)
    for (const char* inside : {"/lib64", "/lib", "/targets/x86_64-linux/lib"})
      for (const char* file : {"/libnvrtc.so.13", "/libnvrtc.so.12", "/libnvrtc.so"})
        flavour.libraries.push_back(folder + inside + file);
  return flavour;
}

}  // namespace isotope::jit
