// A model in this process, kept busy with more requests than it runs at a time.
#pragma once

#include <memory>

#include "cli/eval/evaluated_model.h"
#include "cli/model_flags.h"

namespace isotope::cli {

std::unique_ptr<EvaluatedModel> open_engine_model(ModelFlags& flags);

}  // namespace isotope::cli
