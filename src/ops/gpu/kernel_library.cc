#include "ops/gpu/kernel_library.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace isotope::ops::gpu {
namespace {

/// A unit's name says all of it; two units of one name would take each other's code.
void check_same(const jit::Unit& a, const jit::Unit& b) {
  if (a != b)
    fail(ErrorCode::internal, "two different kernel units are named {} ({} and {})", a.name, a.file,
         b.file);
}

}  // namespace

KernelLibrary::KernelLibrary(device::Gpu& gpu, std::unique_ptr<jit::Builder> builder)
    : gpu_(&gpu), builder_(std::move(builder)), tuning_(Tuning::for_arch(gpu.properties().arch)) {}

void KernelLibrary::start_recording() {
  noted_.clear();
  recording_ = true;
}

std::vector<jit::Unit> KernelLibrary::stop_recording() {
  recording_ = false;
  std::vector<jit::Unit> units;
  for (const NotedKernel& kernel : noted_) units.push_back(kernel.unit);
  return units;
}

void KernelLibrary::note(const KernelName& name, const device::Launch& launch) {
  auto noted = std::find_if(noted_.begin(), noted_.end(), [&name](const NotedKernel& other) {
    return other.unit.name == name.unit.name;
  });
  if (noted == noted_.end())
    noted = noted_.insert(noted_.end(), {name.unit, {}});
  else
    check_same(noted->unit, name.unit);
  NotedKernel::Needs& needs = noted->functions[name.function];
  needs.threads = std::max(needs.threads, launch.threads);
  needs.shared_bytes = std::max(needs.shared_bytes, launch.shared_bytes);
}

void KernelLibrary::build(
    const std::vector<jit::Unit>& units,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
  if (!builder_) return;
  std::vector<jit::Unit> missing;
  std::map<std::string_view, const jit::Unit*> seen;
  for (const jit::Unit& unit : units) {
    const auto [entry, fresh] = seen.try_emplace(unit.name, &unit);
    check_same(*entry->second, unit);
    if (const auto loaded = loaded_.find(unit.name); loaded != loaded_.end())
      check_same(loaded->second.unit, unit);
    else if (fresh)
      missing.push_back(unit);
  }
  const std::vector<jit::CodeObject> objects = builder_->build(missing, progress);
  for (std::size_t i = 0; i < missing.size(); ++i)
    loaded_.emplace(missing[i].name,
                    Loaded{missing[i], gpu_->load_module(objects[i], missing[i].name), {}});
}

device::Kernel KernelLibrary::find(const KernelName& name) {
  auto loaded = loaded_.find(name.unit.name);
  if (loaded == loaded_.end()) {
    ++late_builds_;
    log_warning("ops", "kernel {} was not built ahead: it is compiled now, while others wait",
                name.unit.name);
    build({name.unit});
    loaded = loaded_.find(name.unit.name);
  }
  auto& kernels = loaded->second.kernels;
  if (const auto known = kernels.find(name.function); known != kernels.end()) return known->second;
  check_same(loaded->second.unit, name.unit);
  return kernels.emplace(name.function, loaded->second.module->kernel(name.function)).first->second;
}

void KernelLibrary::launch_bytes(const KernelName& name, const device::Launch& launch,
                                 const void* params, std::size_t bytes) {
  if (std::find(launch.grid.begin(), launch.grid.end(), 0u) != launch.grid.end()) return;
  if (recording()) return note(name, launch);
  gpu_->launch(find(name), launch, params, bytes);
}

std::shared_ptr<KernelLibrary> make_kernel_library(device::Gpu& gpu) {
  const device::GpuProperties& properties = gpu.properties();
  if (properties.paper) return std::make_shared<KernelLibrary>(gpu, nullptr);
  return std::make_shared<KernelLibrary>(
      gpu, std::make_unique<jit::Builder>(jit::open_compiler(properties.arch), kernel_sources(),
                                          properties.arch, jit::default_cache()));
}

}  // namespace isotope::ops::gpu
