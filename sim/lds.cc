#include "sim/lanes.h"

namespace isotope::sim {

void add_lds(Opcodes&) {}

}  // namespace isotope::sim
