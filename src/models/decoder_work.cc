// What a step of the decoder must read and compute: the ideal that a profile compares with.
#include "models/decoder.h"

namespace isotope::models {
namespace {

/// The same linear layer of every decoder layer.
PartWork products(std::string_view part, const std::vector<DecoderLayer>& layers,
                  Linear DecoderLayer::*linear, std::int64_t rows) {
  PartWork work{part};
  for (const DecoderLayer& layer : layers) {
    const ops::LinearWeight& weight = (layer.*linear).weight;
    ++work.calls;
    work.bytes += double(weight.bytes());
    work.flops += 2.0 * double(rows) * double(weight.n) * double(weight.k);
  }
  return work;
}

}  // namespace

std::vector<PartWork> Decoder::work(const StepShape& shape, const ops::KvCacheShape& kv) const {
  const std::int64_t layers = spec_.num_layers;
  const double kv_bytes =
      double(kv.bytes_per_block()) / double(kv.block_size);  // a token, all layers
  const ops::LinearWeight& table = weights_.embedding.weight;
  const ops::LinearWeight& head = weights_.head ? weights_.head->weight : table;
  const double row_bytes = double(table.bytes()) / double(table.padded_n);
  return {
      {"embed", 1, double(shape.rows) * row_bytes, 0},
      products("qkv", weights_.layers, &DecoderLayer::qkv, shape.rows),
      {"rope_store", layers, double(shape.rows) * kv_bytes, 0},
      {"attention", layers, double(shape.keys) * kv_bytes,
       4.0 * double(layers) * double(spec_.q_size()) * double(shape.pairs)},
      products("output", weights_.layers, &DecoderLayer::output, shape.rows),
      products("gate_up", weights_.layers, &DecoderLayer::gate_up, shape.rows),
      products("down", weights_.layers, &DecoderLayer::down, shape.rows),
      {"head", 1, shape.logits > 0 ? double(head.bytes()) : 0.0,
       2.0 * double(shape.logits) * double(head.n) * double(head.k)},
      {"sample", 1, 4.0 * double(shape.logits) * double(spec_.vocab_size), 0},
  };
}

}  // namespace isotope::models
