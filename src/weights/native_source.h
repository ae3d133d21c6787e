// Mistral's own tensor names and row order (consolidated.safetensors), seen as a Hugging Face
// checkpoint.
#pragma once

#include <memory>

#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::weights {

/// Tensors of `native` under Hugging Face names ("layers.0.attention.wq.weight" becomes
/// "model.layers.0.self_attn.q_proj.weight", "qscale_weight" becomes "weight_scale_inv"). Wq and Wk
/// are copied on demand with their rows reordered, from RoPE pairs (2i, 2i+1) to (i, i + D/2);
/// release() frees the copy. Vision tensors appear below "vision_tower." and
/// "multi_modal_projector.", names without a counterpart unchanged.
std::unique_ptr<TensorSource> make_native_source(std::unique_ptr<TensorSource> native,
                                                 const TextConfig& text);

}  // namespace isotope::weights
