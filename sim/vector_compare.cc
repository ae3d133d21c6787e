#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_compare(Opcodes&) {}

}  // namespace isotope::sim
