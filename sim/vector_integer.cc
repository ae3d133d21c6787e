#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_integer(Opcodes&) {}

}  // namespace isotope::sim
