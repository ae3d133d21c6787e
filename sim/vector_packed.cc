#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_packed(Opcodes&) {}

}  // namespace isotope::sim
