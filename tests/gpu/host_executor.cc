// Kernels as code of the host, their lanes as fibers.
#include <map>

#include "tests/gpu/emulated_code.h"
#include "tests/gpu/emulated_device.h"
#include "tests/gpu/executor.h"

namespace isotope::emulated {
namespace {

class HostKernel final : public ExecutableKernel {
 public:
  explicit HostKernel(const Function& function) : function_(function) {
    name = function.name;
    params_bytes = function.params_bytes;
    max_threads = function.max_threads;
  }
  int run(const LaunchShape& shape, const void* params) const override {
    describe_address = [](const void* address) { return describe(address); };
    const std::string error = emulated::run(function_, shape, params);
    if (error.empty()) return kOk;
    const bool wild = error.find("illegal address") != std::string::npos;
    return report(wild ? kIllegalAddress : kLaunchFailed, error);
  }

 private:
  const Function& function_;
};

class HostCode final : public ExecutableCode {
 public:
  explicit HostCode(std::span<const std::byte> code) : code_(code) {}
  const ExecutableKernel* find_or_null(const std::string& name) override {
    if (const auto known = kernels_.find(name); known != kernels_.end()) return &known->second;
    const Function* function = code_.find_or_null(name);
    return function ? &kernels_.emplace(name, *function).first->second : nullptr;
  }

 private:
  LoadedCode code_;
  std::map<std::string, HostKernel> kernels_;
};

class HostExecutor final : public Executor {
 public:
  const char* card() const override { return "Emulated GPU (gfx1201)"; }
  const char* reports_as() const override { return "emulated GPU"; }
  int multiprocessors() const override { return 4; }
  std::size_t memory_bytes() const override { return std::size_t(4) << 30; }
  std::unique_ptr<ExecutableCode> load(std::span<const std::byte> code) override {
    return std::make_unique<HostCode>(code);
  }
};

}  // namespace

Executor& executor() {
  static HostExecutor& made = *new HostExecutor();
  return made;
}

}  // namespace isotope::emulated
