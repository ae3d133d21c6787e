// The CPU forms behind embed().
#pragma once

#include "ops/embed/embed.h"

namespace isotope::ops::cpu {

void embed_oracle(const TensorView& ids, const LinearWeight& table, const TensorView& out);
void embed_fast(Context& context, const TensorView& ids, const LinearWeight& table,
                const TensorView& out);

}  // namespace isotope::ops::cpu
