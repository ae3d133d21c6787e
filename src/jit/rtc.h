// NVRTC and hipRTC have the same functions under different names: one compiler behind a table.
// Internal to jit.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jit/jit.h"

namespace isotope::jit {

struct RtcFlavour {
  std::string name;                    ///< "NVRTC"
  std::string prefix;                  ///< of its functions: "nvrtc"
  std::string code;                    ///< what comes out: "CUBIN" for nvrtcGetCUBIN, "Code"
  const char* variable;                ///< environment variable that names another library
  std::vector<std::string> libraries;  ///< file names and paths to try, in order
  std::string advice;                  ///< what to install
  std::vector<std::string> (*options)(std::string_view arch);
};

RtcFlavour nvrtc_flavour();
RtcFlavour hiprtc_flavour();

/// Null if no library is there, with the names tried appended to `tried`. Errors: not_found if the
/// one named by the environment cannot be loaded; unsupported if a library lacks a function.
std::unique_ptr<Compiler> open_rtc(const RtcFlavour& flavour, std::string& tried);

/// Null if there is no clang that knows gfx12, with what was looked for appended to `tried`.
/// Errors: not_found if ISOTOPE_CLANG does not run, or if its linker is missing.
std::unique_ptr<Compiler> open_clang(std::string& tried);

/// Options that tell kernel text what it is compiled for.
std::vector<std::string> gfx_options(std::string_view arch);

/// Files that match `folder`/`prefix`*`/suffix`, newest version first.
std::vector<std::string> versioned_paths(const std::string& folder, const std::string& prefix,
                                         const std::string& suffix);

/// What the environment says, or an empty text.
std::string environment(const char* name);

}  // namespace isotope::jit
