// Test support: kernel text with one place changed, to see that the tests of an op would notice.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "jit/jit.h"
#include "ops/gpu/kernel_library.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops::testing {

/// While it lives, machines that are made run kernels in which `from`, which must be there once in
/// `file` ("ops/…/x.cu"), is `to`.
class PlantedFault {
 public:
  PlantedFault(const std::string& file, std::string_view from, std::string_view to)
      : sources_(gpu::kernel_sources()) {
    text_ = sources_.at(file);
    const std::size_t at = text_.find(from);
    if (at == std::string::npos || text_.find(from, at + 1) != std::string::npos)
      throw std::logic_error("a fault cannot be planted: " + file + " does not have \"" +
                             std::string(from) + "\" once");
    text_.replace(at, from.size(), to);
    sources_[file] = text_;
    const std::string& arch = GpuMachine::device().properties().arch;
    good_ = GpuMachine::library();
    GpuMachine::library() = std::make_shared<gpu::KernelLibrary>(
        GpuMachine::device(),
        std::make_unique<jit::Builder>(jit::open_compiler(arch), sources_, arch, std::string()));
  }
  ~PlantedFault() { GpuMachine::library() = good_; }
  PlantedFault(const PlantedFault&) = delete;
  PlantedFault& operator=(const PlantedFault&) = delete;

 private:
  std::string text_;
  jit::SourceMap sources_;
  std::shared_ptr<gpu::KernelLibrary> good_;
};

}  // namespace isotope::ops::testing
