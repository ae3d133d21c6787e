// Kernels as machine code of gfx1201, executed by the simulator.
#include <chrono>
#include <map>

#include "sim/code_object.h"
#include "sim/machine.h"
#include "sim/memory.h"
#include "tests/gpu/emulated_device.h"
#include "tests/gpu/executor.h"
#include "tests/gpu/simulated_report.h"

namespace isotope::emulated {
namespace {

/// Never destroyed: programs may call until their very end.
struct Machine {
  sim::Memory memory;
  SimulatedReport report;
};
Machine& machine() {
  static Machine& made = *new Machine();
  return made;
}
__attribute__((destructor)) void finish_report() { machine().report.finish(); }

/// That of zlib.
sim::u32 crc32(std::span<const std::byte> bytes) {
  sim::u32 sum = ~0u;
  for (const std::byte byte : bytes) {
    sum ^= sim::u32(byte);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
  }
  return ~sum;
}

class SimulatedKernel final : public ExecutableKernel {
 public:
  SimulatedKernel(const sim::CodeObject& code, sim::u32 checksum, const sim::Kernel& kernel)
      : code_(code), checksum_(checksum), kernel_(kernel) {
    name = kernel.name;
    params_bytes = kernel.explicit_bytes;
    max_threads = kernel.max_threads;
  }
  int run(const LaunchShape& shape, const void* params) const override {
    const sim::Launch launch{{shape.grid[0], shape.grid[1], shape.grid[2]},
                             {shape.threads, 1, 1},
                             shape.shared_bytes,
                             {static_cast<const std::byte*>(params), params_bytes}};
    sim::Report done{name, launch.grid, launch.threads, "", {}};
    const auto begin = std::chrono::steady_clock::now();
    int code = kOk;
    try {
      sim::run(code_, kernel_, launch, machine().memory, done.counters);
    } catch (const sim::Fault& fault) {
      done.fault = fault.what();
      code = emulated::report(fault.kind() == sim::Fault::address ? kIllegalAddress : kLaunchFailed, "kernel " + done.fault);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    machine().report.add(checksum_, kernel_, launch, done, seconds.count());
    return code;
  }

 private:
  const sim::CodeObject& code_;
  const sim::u32 checksum_;  // of the whole code object
  const sim::Kernel& kernel_;
};

class SimulatedCode final : public ExecutableCode {
 public:
  explicit SimulatedCode(std::span<const std::byte> code) : code_(code) {
    for (const auto& [bytes, writable] : code_.segments())
      machine().memory.add(bytes.data(), bytes.size(), "the code object", writable);
    const sim::u32 checksum = crc32(code);
    for (const auto& [name, kernel] : code_.kernels()) kernels_.try_emplace(name, code_, checksum, kernel);
  }
  ~SimulatedCode() override {
    for (const sim::CodeObject::Segment& segment : code_.segments()) machine().memory.remove(segment.bytes.data());
  }
  const ExecutableKernel* find_or_null(const std::string& name) override {
    const auto found = kernels_.find(name);
    return found == kernels_.end() ? nullptr : &found->second;
  }

 private:
  sim::CodeObject code_;
  std::map<std::string, SimulatedKernel> kernels_;
};

class SimulatedExecutor final : public Executor {
 public:
  const char* card() const override { return "AMD Radeon RX 9070 XT (simulated)"; }
  const char* reports_as() const override { return "simulated gfx1201"; }
  /// HIP counts work-group processors: two compute units each.
  int multiprocessors() const override { return 32; }
  std::size_t memory_bytes() const override { return std::size_t(16304) << 20; }
  std::unique_ptr<ExecutableCode> load(std::span<const std::byte> code) override {
    return std::make_unique<SimulatedCode>(code);
  }

  void allocated(const void* data, std::size_t bytes, bool pinned) override {
    // The program writes to page-locked memory without telling.
    machine().memory.add(data, bytes, pinned ? "page-locked memory" : "device memory", true, pinned);
  }
  void freed(const void* data) override { machine().memory.remove(data); }
  void written(const void* data, std::size_t bytes) override { machine().memory.mark_initialised(data, bytes); }
  void copied(const void* target, const void* source, std::size_t bytes) override {
    machine().memory.copy_shadow(target, source, bytes);
  }
};

}  // namespace

/// The program's profiler and tuner look for these.
extern "C" __attribute__((visibility("default"))) unsigned long long isotopeSimulatedTraffic() {
  return machine().report.loaded_bytes();
}
extern "C" __attribute__((visibility("default"))) unsigned long long isotopeSimulatedInstructions() {
  return machine().report.instructions();
}

Executor& executor() {
  static SimulatedExecutor& made = *new SimulatedExecutor();
  return made;
}

}  // namespace isotope::emulated
