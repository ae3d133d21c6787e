#include "sim/lanes.h"

namespace isotope::sim {

void add_scalar(Opcodes&) {}

}  // namespace isotope::sim
