// Linear layers as `isotope tune` tries them.
#pragma once

#include <string>
#include <vector>

#include "ops/linear/linear_gpu.h"
#include "ops/tuning/tuning_case.h"

namespace isotope::ops {

/// A linear layer of a model: its weights in all layers of the model, which have one shape, and
/// what is fused with the product.
struct LinearUse {
  std::string name;
  std::vector<const LinearWeight*> weights;
  gpu::Epilogue epilogue = gpu::Epilogue::store;
  bool norm = false;
  DType y_dtype = DType::bf16;
  bool prefill = true;  ///< also called in prefill phase
};

/// A case for each number of rows at which a table can choose anything. `context`, whose workspace
/// is at least linear_scratch() of the most rows, and the weights outlive them.
TuningCases linear_tuning_cases(Context& context, const LinearUse& use, const TuningRows& rows);

}  // namespace isotope::ops
