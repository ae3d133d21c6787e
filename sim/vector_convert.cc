#include "sim/lanes.h"

namespace isotope::sim {

void add_vector_convert(Opcodes&) {}

}  // namespace isotope::sim
