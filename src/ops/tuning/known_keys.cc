// What tables may set. Whoever asks Tuning for a value adds it here.
#include "ops/tuning/tuning.h"

namespace isotope::ops {

std::vector<TuningKey> known_tuning_keys() { return {}; }

}  // namespace isotope::ops
