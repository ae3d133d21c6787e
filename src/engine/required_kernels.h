// Which kernels serving a model takes, so that all of them are built before the first request.
#pragma once

#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "ops/gpu/kernel_library.h"
#include "weights/config.h"

namespace isotope::engine {

/// Every unit of kernel text that an Engine with these options asks for on a GPU of `arch`
/// ("sm_90a", "gfx1201"): decode steps of every size up to max_num_seqs, prefills, sampling in all
/// its forms. Nothing is compiled and no card is needed. options.model and options.device are not
/// looked at. Errors: unsupported (arch, model).
std::vector<jit::Unit> required_kernels(const weights::ModelConfig& config, std::string_view arch,
                                        const EngineOptions& options);

/// The same with what their launches take.
std::vector<ops::gpu::NotedKernel> required_launches(const weights::ModelConfig& config,
                                                     std::string_view arch,
                                                     const EngineOptions& options);

}  // namespace isotope::engine
