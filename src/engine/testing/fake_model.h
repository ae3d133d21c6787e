// For tests: a model whose next token depends on every token, position and phase of the context,
// read back through the KV cache. A wrong slot, block table, position, phase or a forgotten
// recomputation changes its answers, and what they should be follows from the tokens alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.h"
#include "models/model.h"

namespace isotope::engine::testing {

struct FakeToken {
  TokenId id;
  std::int64_t position;
  bool generated;
};

/// The state after a context; logits are a function of it.
class FakeState {
 public:
  void add(const FakeToken& token) {
    for (const std::uint64_t value :
         {std::uint64_t(token.id), std::uint64_t(token.position), std::uint64_t(token.generated)})
      hash_ = mix(hash_ ^ value) + 1;
  }
  /// Between 0 and 8.
  float logit(std::int64_t id) const {
    return float(mix(hash_ + std::uint64_t(id) * 0x9e3779b97f4a7c15) >> 40) * 0x1p-21f;
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {  // MurmurHash3's finalizer
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
  }
  std::uint64_t hash_ = 0;
};

class FakeModel final : public models::Model {
 public:
  static constexpr std::int64_t kVocab = 97;  // ids are exact in BF16

  /// Called at the beginning of every step with its number of rows; may throw.
  std::function<void(const ops::Rows&)> on_step;

  FakeModel() {
    info_.family = "fake";
    info_.num_layers = info_.num_kv_heads = info_.num_heads = 1;
    info_.head_dim = 4;
    info_.vocab_size = kVocab;
    info_.max_position_embeddings = 4096;
  }

  const models::ModelInfo& info() const override { return info_; }
  std::size_t workspace_bytes(const models::StepLimits&) const override { return 0; }
  std::size_t weight_bytes() const override { return 0; }
  ops::TuningCases tuning_cases(ops::Context&, const ops::TuningRows&, DType) const override {
    return {};
  }

  void forward(ops::Context&, const ops::Batch& batch, const ops::KvCache& kv,
               const TensorView& logits) const override {
    if (on_step) on_step(batch.rows);
    check(batch, kv.shape().block_size);
    const ops::KvLayer& layer = kv.layer(0);
    for (std::int64_t r = 0; r < batch.rows.total; ++r) {
      const std::int64_t slot = batch.slots.as<std::int64_t>()[r];
      const std::int32_t position = batch.positions.as<std::int32_t>()[r];
      auto* k = layer.k.row<bfloat16>(slot);
      k[0] = to_bfloat16(float(batch.token_ids.as<std::int32_t>()[r]));
      k[1] = to_bfloat16(float(position % 256));
      k[2] = to_bfloat16(float(position / 256));
      layer.v.row<bfloat16>(slot)[0] = to_bfloat16(r < batch.rows.decode ? 1.0f : 0.0f);
    }
    for (std::int64_t i = 0; i < logits.shape[0]; ++i) {
      const std::int32_t row = batch.logit_rows.as<std::int32_t>()[i];
      const FakeState state = read_context(batch, kv, row);
      for (std::int64_t id = 0; id < kVocab; ++id) logits.row<float>(i)[id] = state.logit(id);
    }
  }

 private:
  static FakeState read_context(const ops::Batch& batch, const ops::KvCache& kv, std::int32_t row) {
    const std::int64_t block_size = kv.shape().block_size;
    const std::int32_t* table =
        batch.block_tables.row<std::int32_t>(batch.row_seq.as<std::int32_t>()[row]);
    FakeState state;
    for (std::int64_t p = 0; p <= batch.positions.as<std::int32_t>()[row]; ++p) {
      const std::int64_t slot = table[p / block_size] * block_size + p % block_size;
      const auto* k = kv.layer(0).k.row<bfloat16>(slot);
      const auto* v = kv.layer(0).v.row<bfloat16>(slot);
      state.add({TokenId(to_float(k[0])),
                 std::int64_t(to_float(k[1])) + 256 * std::int64_t(to_float(k[2])),
                 to_float(v[0]) != 0});
    }
    return state;
  }

  /// The arrays of a batch agree with each other.
  static void check(const ops::Batch& batch, std::int64_t block_size) {
    const auto require = [](bool condition, const char* what) {
      if (!condition) fail(ErrorCode::internal, "batch: {}", what);
    };
    const auto* begin = batch.seq_begin.as<std::int32_t>();
    const auto* position = batch.positions.as<std::int32_t>();
    require(begin[0] == 0 && begin[batch.num_seqs] == batch.rows.total, "seq_begin's ends");
    for (std::int64_t s = 0; s < batch.num_seqs; ++s) {
      require(begin[s] < begin[s + 1], "an empty sequence");
      require(batch.rows.decode <= begin[s] || batch.rows.decode >= begin[s + 1], "mixed phases");
      require(position[begin[s + 1] - 1] + 1 == batch.context_lens.as<std::int32_t>()[s],
              "context_lens");
      for (std::int32_t r = begin[s]; r < begin[s + 1]; ++r) {
        require(batch.row_seq.as<std::int32_t>()[r] == s, "row_seq");
        require(r == begin[s] || position[r] == position[r - 1] + 1, "positions");
        const std::int32_t block =
            batch.block_tables.row<std::int32_t>(s)[position[r] / block_size];
        require(batch.slots.as<std::int64_t>()[r] == block * block_size + position[r] % block_size,
                "slots");
      }
    }
  }

  models::ModelInfo info_;
};

/// Logits after `prompt` and `output`, from the tokens alone.
inline std::vector<float> fake_logits(const std::vector<TokenId>& prompt,
                                      const std::vector<TokenId>& output) {
  FakeState state;
  std::int64_t position = 0;
  for (const TokenId id : prompt) state.add({id, position++, false});
  for (const TokenId id : output) state.add({id, position++, true});
  std::vector<float> logits;
  for (std::int64_t id = 0; id < FakeModel::kVocab; ++id) logits.push_back(state.logit(id));
  return logits;
}

}  // namespace isotope::engine::testing
