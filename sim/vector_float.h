// The parts of the float instructions that are files of their own.
#pragma once

#include "sim/vector.h"

namespace isotope::sim::vector {

/// div_scale, div_fmas, div_fixup: what divisions are made of.
void add_division(Opcodes& opcodes);
/// v_trig_preop_f64.
void add_trig_preop(Opcodes& opcodes);
/// Reciprocals, roots, exponentials, logarithms, sine and cosine, of lanes and of scalars.
void add_transcendental(Opcodes& opcodes);

}  // namespace isotope::sim::vector
