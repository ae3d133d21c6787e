#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_lanes(Opcodes&) {}

}  // namespace isotope::sim
