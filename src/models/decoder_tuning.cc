// What of a decoder `isotope tune` can tune: its linear layers and its attention.
#include "models/decoder.h"
#include "ops/attention/attention_tuning.h"
#include "ops/linear/linear_tuning.h"

namespace isotope::models {
namespace {

using ops::gpu::Epilogue;

ops::LinearUse use_of(std::string name, const std::vector<DecoderLayer>& layers,
                      Linear DecoderLayer::*linear, Epilogue epilogue, DType y_dtype) {
  ops::LinearUse use{.name = std::move(name)};
  for (const DecoderLayer& layer : layers) use.weights.push_back(&(layer.*linear).weight);
  use.epilogue = epilogue;
  use.norm = epilogue != Epilogue::add;
  use.y_dtype = y_dtype;
  return use;
}

}  // namespace

ops::TuningCases Decoder::tuning_cases(ops::Context& context, const ops::TuningRows& rows,
                                       DType kv_dtype) const {
  const std::vector<DecoderLayer>& layers = weights_.layers;
  ops::LinearUse head{.name = "head"};
  head.weights = {weights_.head ? &weights_.head->weight : &weights_.embedding.weight};
  head.norm = true;
  head.y_dtype = DType::f32;
  head.prefill = false;  // logits of all phases come from the decode kernel
  ops::TuningCases cases;
  const auto add = [&cases](ops::TuningCases more) {
    for (auto& one : more) cases.push_back(std::move(one));
  };
  for (const ops::LinearUse& use :
       {use_of("qkv", layers, &DecoderLayer::qkv, Epilogue::store, activation_),
        use_of("output", layers, &DecoderLayer::output, Epilogue::add, DType::f32),
        use_of("gate_up", layers, &DecoderLayer::gate_up, Epilogue::swiglu, activation_),
        use_of("down", layers, &DecoderLayer::down, Epilogue::add, DType::f32), head})
    add(ops::linear_tuning_cases(context, use, rows));
  add(ops::attention_tuning_cases(
      context, {spec_.num_heads, spec_.num_kv_heads, spec_.head_dim, kv_dtype}, rows));
  return cases;
}

}  // namespace isotope::models
