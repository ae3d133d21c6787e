// For tests: runs a model over batches written by hand, without an engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "models/model.h"

namespace isotope::models {

/// How and where a model runs.
struct TestSetup {
  device::Isa isa = device::Isa::scalar;
  ops::Path path = ops::Path::fast;
  DType kv = DType::bf16;
  ComputeDtype compute = ComputeDtype::automatic;
  bool shuffled_blocks = false;
  int threads = 1;  ///< these models are too small to gain by more
  /// Instead of the CPU: a device and its kernels, which outlive the driver.
  device::Device* gpu = nullptr;
  std::shared_ptr<ops::gpu::KernelLibrary> kernels;
};

/// A sequence of known tokens of which `done` have been through the model.
struct TestSequence {
  std::vector<TokenId> tokens;
  std::int64_t num_prompt = 0;
  std::vector<std::int32_t> blocks;
  std::int64_t done = 0;
  std::vector<std::vector<float>> logits;  ///< by position; empty where none were asked for
};

struct TestChunk {
  TestSequence* sequence;
  std::int64_t count;
};

class TestDriver {
 public:
  static constexpr std::int64_t kBlockSize = 16, kNumBlocks = 64;
  static constexpr StepLimits kLimits = {.max_rows = 300, .max_logits = 300, .max_context = 512};

  TestDriver(const weights::ModelConfig& config, const weights::TensorSource& source,
             const TestSetup& setup) {
    if (!setup.gpu) cpu_ = std::make_unique<device::CpuDevice>(setup.threads, setup.isa);
    device_ = setup.gpu ? setup.gpu : cpu_.get();
    ops::Context loading(*device_, 0, setup.path, true, setup.kernels);
    model_ = load_model(loading, config, source, {.dtype = setup.compute, .progress = {}}, report_);
    StepLimits limits = kLimits;
    limits.gpu = setup.gpu != nullptr;
    context_ = std::make_unique<ops::Context>(*device_, model_->workspace_bytes(limits), setup.path,
                                              true, setup.kernels);
    const ModelInfo& info = model_->info();
    kv_ = ops::KvCache(*device_, {.num_layers = info.num_layers,
                                  .num_blocks = kNumBlocks,
                                  .block_size = kBlockSize,
                                  .num_kv_heads = info.num_kv_heads,
                                  .head_dim = info.head_dim,
                                  .dtype = setup.kv});
    fill_with_garbage();
    free_blocks_.resize(kNumBlocks);
    std::iota(free_blocks_.begin(), free_blocks_.end(), 0);
    if (setup.shuffled_blocks)
      std::shuffle(free_blocks_.begin(), free_blocks_.end(), std::mt19937(7));
  }

  const Model& model() const { return *model_; }
  const LoadReport& report() const { return report_; }
  ops::Context& context() { return *context_; }

  TestSequence begin(std::vector<TokenId> tokens, std::int64_t num_prompt) {
    TestSequence sequence;
    sequence.tokens = std::move(tokens);
    sequence.num_prompt = num_prompt;
    const auto needed = ceil_div(std::int64_t(sequence.tokens.size()), kBlockSize);
    ISOTOPE_ASSERT(needed <= std::int64_t(free_blocks_.size()));
    for (std::int64_t i = 0; i < needed; ++i) {
      sequence.blocks.push_back(free_blocks_.back());
      free_blocks_.pop_back();
    }
    sequence.logits.resize(sequence.tokens.size());
    return sequence;
  }

  void end(TestSequence& sequence) {
    free_blocks_.insert(free_blocks_.end(), sequence.blocks.begin(), sequence.blocks.end());
    sequence.blocks.clear();
  }

  /// One step: the next tokens of each sequence, decodes first, then `idle` rows of padding (if
  /// there are decodes to pad), then prefills. Logits of all rows, or of the last of each chunk.
  void step(const std::vector<TestChunk>& chunks, std::int64_t idle = 0, bool all_logits = true) {
    Arrays arrays;
    std::vector<std::pair<TestSequence*, std::int64_t>> wanted;
    std::int64_t decode_rows = 0;
    bool padded = idle == 0;
    for (const auto& [sequence, count] : chunks) {
      const bool decodes = sequence->done >= sequence->num_prompt;
      if (decodes) ISOTOPE_ASSERT(!padded || idle == 0);
      if (!decodes && !padded) decode_rows += arrays.add_idle(idle);
      padded |= !decodes;
      if (decodes) decode_rows += count;
      for (std::int64_t i = all_logits ? 0 : count - 1; i < count; ++i) {
        arrays.logit_rows.push_back(std::int32_t(std::int64_t(arrays.token_ids.size()) + i));
        wanted.emplace_back(sequence, sequence->done + i);
      }
      arrays.add(*sequence, count);
    }
    if (!padded) decode_rows += arrays.add_idle(idle);
    run(arrays, decode_rows, wanted);
  }

 private:
  /// ops::Batch in host memory.
  struct Arrays {
    std::vector<std::int32_t> token_ids, positions, row_seq, seq_begin{0}, context_lens, logit_rows;
    std::vector<std::int64_t> slots;
    std::vector<std::vector<std::int32_t>> tables;

    void add(TestSequence& sequence, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i, ++sequence.done) {
        const std::int64_t p = sequence.done;
        add_row(sequence.tokens[std::size_t(p)], p,
                sequence.blocks[std::size_t(p / kBlockSize)] * kBlockSize + p % kBlockSize);
      }
      close_sequence(sequence.done);
      const auto used = sequence.blocks.begin() + ceil_div(sequence.done, kBlockSize);
      tables.emplace_back(sequence.blocks.begin(), used);
    }
    std::int64_t add_idle(std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        add_row(-1, 0, -1);
        close_sequence(0);
        tables.emplace_back();
      }
      return count;
    }

   private:
    void add_row(TokenId token, std::int64_t position, std::int64_t slot) {
      token_ids.push_back(token);
      positions.push_back(std::int32_t(position));
      slots.push_back(slot);
      row_seq.push_back(std::int32_t(context_lens.size()));
    }
    void close_sequence(std::int64_t context) {
      seq_begin.push_back(std::int32_t(token_ids.size()));
      context_lens.push_back(std::int32_t(context));
    }
  };

  /// A copy on the device; on the CPU the values themselves.
  template <typename T>
  TensorView view(std::vector<T>& values, const Shape& shape) {
    TensorView host(DTypeOf<T>::value, shape, values.data());
    if (!cpu_) {
      uploads_.push_back(
          device_->allocate(std::max<std::size_t>(1, std::size_t(host.bytes())), "a test batch"));
      device_->stream().copy_to_device(uploads_.back().data(), host.data,
                                       std::size_t(host.bytes()));
      host.data = uploads_.back().data();
    }
    return host;
  }
  template <typename T>
  TensorView view(std::vector<T>& values) {
    return view(values, Shape{std::int64_t(values.size())});
  }

  void run(Arrays& arrays, std::int64_t decode_rows,
           const std::vector<std::pair<TestSequence*, std::int64_t>>& wanted) {
    std::size_t width = 1;
    for (const auto& table : arrays.tables) width = std::max(width, table.size());
    std::vector<std::int32_t> tables;
    for (const auto& table : arrays.tables) {
      tables.insert(tables.end(), table.begin(), table.end());
      tables.resize(tables.size() + width - table.size(), 0);
    }
    ops::Batch batch;
    batch.rows = {.decode = decode_rows, .total = std::int64_t(arrays.token_ids.size())};
    batch.num_seqs = std::int64_t(arrays.context_lens.size());
    batch.token_ids = view(arrays.token_ids);
    batch.positions = view(arrays.positions);
    batch.slots = view(arrays.slots);
    batch.row_seq = view(arrays.row_seq);
    batch.seq_begin = view(arrays.seq_begin);
    batch.context_lens = view(arrays.context_lens);
    batch.block_tables = view(tables, Shape{batch.num_seqs, std::int64_t(width)});
    batch.logit_rows = view(arrays.logit_rows);
    const std::int64_t vocab = model_->info().vocab_size;
    std::vector<float> logits(wanted.size() * std::size_t(vocab), std::nanf(""));
    const TensorView out = view(logits, Shape{std::int64_t(wanted.size()), vocab});
    model_->forward(*context_, batch, kv_, out);
    if (!cpu_) device_->stream().copy_to_host(logits.data(), out.data, std::size_t(out.bytes()));
    device_->stream().synchronize();
    uploads_.clear();
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto row = logits.begin() + std::ptrdiff_t(i) * vocab;
      wanted[i].first->logits[std::size_t(wanted[i].second)].assign(row, row + vocab);
    }
  }

  /// What another sequence may have left there: large, finite numbers.
  void fill_with_garbage() {
    constexpr int kLarge = 0x7e;
    for (std::int64_t i = 0; i < model_->info().num_layers; ++i) {
      const ops::KvLayer& layer = kv_.layer(i);
      for (const TensorView& tensor : {layer.k, layer.v, layer.k_scale, layer.v_scale})
        if (!tensor.empty())
          device_->stream().fill(tensor.data, kLarge, std::size_t(tensor.bytes()));
    }
    device_->stream().synchronize();
  }

  std::unique_ptr<device::CpuDevice> cpu_;
  device::Device* device_ = nullptr;
  std::vector<device::Buffer> uploads_;
  LoadReport report_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ops::Context> context_;
  ops::KvCache kv_;
  std::vector<std::int32_t> free_blocks_;
};

/// Every form that this CPU can run: the oracle, then the fast kernels of each instruction set.
inline std::vector<TestSetup> all_test_setups() {
  using device::Isa;
  std::vector<TestSetup> setups = {{.isa = Isa::scalar, .path = ops::Path::oracle}};
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx})
    if (isa <= device::detect_isa()) setups.push_back({.isa = isa, .path = ops::Path::fast});
  return setups;
}

}  // namespace isotope::models
