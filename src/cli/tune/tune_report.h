// What `isotope tune` prints when it is done.
#pragma once

#include <cstdio>

#include "base/json.h"
#include "ops/tuning/tuned_rows.h"

namespace isotope::cli {

/// A line for each kernel and shape with a new choice, then sums over all; `simulated`: by counted
/// work. Candidates with wrong results are told one by one.
void print_choices(std::FILE* out, const std::vector<ops::Choice>& choices, bool simulated);

json::array choices_json(const std::vector<ops::Choice>& choices);

}  // namespace isotope::cli
