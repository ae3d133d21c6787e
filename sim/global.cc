#include "sim/lanes.h"

namespace isotope::sim {

void add_global(Opcodes&) {}

}  // namespace isotope::sim
