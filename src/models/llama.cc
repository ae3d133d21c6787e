// Llama (Touvron et al. 2023; Llama 3 with its RoPE scaling), and everything that copies it:
// SmolLM2, TinyLlama…
//
//   a = RMSNorm(x);  x += Wo · attention(rope(Wq a), rope(Wk a), Wv a)
//   b = RMSNorm(x);  x += Wdown · (silu(Wgate b) ⊙ Wup b)
#include "models/family.h"

namespace isotope::models {

const Family kLlama = {
    .name = "llama",
    .architectures = {"LlamaForCausalLM"},
    .spec = base_spec,
    .skipped_prefixes = {},
};

}  // namespace isotope::models
