#include "sim/lanes.h"

namespace isotope::sim {

void add_matrix(Opcodes&) {}

}  // namespace isotope::sim
