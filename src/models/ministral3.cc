// Ministral 3 (2512), text part: the Llama block with YaRN RoPE and a query scale that grows with
// the position.
//
//   q *= 1 + beta · ln(1 + floor(p / original_max_position)), after RoPE; keys are cached unscaled
//
// Released as Mistral3ForConditionalGeneration with a Pixtral vision tower and a projector, which
// are not served: their tensors are skipped by prefix and counted. Fluent output is no proof that
// YaRN and the scale are there, so both are required.
#include "base/error.h"
#include "models/family.h"

namespace isotope::models {
namespace {

DecoderSpec ministral3_spec(const weights::ModelConfig& config) {
  const weights::TextConfig& text = config.text;
  if (text.model_type != "ministral3")
    fail(ErrorCode::unsupported,
         "{}: the text model of '{}' has model_type '{}'; only 'ministral3' is supported",
         config.path.string(), text.architecture, text.model_type);
  const DecoderSpec spec = base_spec(config);
  if (spec.rope.type != weights::RopeParameters::Type::yarn)
    fail(ErrorCode::unsupported,
         "{}: Ministral 3 needs YaRN; 'rope_parameters' must have rope_type \"yarn\"",
         config.path.string());
  if (!(spec.rope.query_scale_beta > 0) || spec.rope.query_scale_original_max_position < 1)
    fail(ErrorCode::unsupported,
         "{}: Ministral 3 needs its query scale; 'llama_4_scaling_beta' is {} in 'rope_parameters'",
         config.path.string(), spec.rope.query_scale_beta);
  return spec;
}

}  // namespace

const Family kMinistral3 = {
    .name = "ministral3",
    .architectures = {"Mistral3ForConditionalGeneration", "Ministral3ForCausalLM"},
    .spec = ministral3_spec,
    .skipped_prefixes = {"vision_tower.", "model.vision_tower.", "multi_modal_projector.",
                         "model.multi_modal_projector."},
};

}  // namespace isotope::models
