#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_float(Opcodes&) {}

}  // namespace isotope::sim
