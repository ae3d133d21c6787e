// Test support: batches over a paged cache whose blocks are scattered and whose unused slots hold
// NaN.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "ops/batch.h"
#include "ops/kv_cache.h"

namespace isotope::ops::testing {

/// Instruction sets that this machine can run, scalar (the oracle) first.
inline std::vector<device::Isa> usable_isas() {
  std::vector<device::Isa> isas;
  for (int i = 0; i <= int(device::detect_isa()); ++i) isas.push_back(device::Isa(i));
  return isas;
}

/// Rows [first, first + rows) of a sequence: its next chunk, or one row of a decode. rows without
/// context: idle.
struct Chunk {
  std::int64_t first = 0, rows = 1;
  bool idle = false;
};

/// Owns the arrays behind a Batch.
struct PagedBatch {
  std::vector<std::int32_t> token_ids, positions, row_seq, seq_begin, context_lens, block_tables;
  std::vector<std::int64_t> slots;
  std::int64_t block_size, width, num_blocks;
  Batch batch;

  /// Blocks are dealt out in an order shuffled by `seed`; num_blocks exceeds what is used.
  PagedBatch(const std::vector<Chunk>& chunks, std::int64_t block_size_, unsigned seed,
             std::int64_t max_context = 0)
      : block_size(block_size_) {
    for (const Chunk& chunk : chunks) max_context = std::max(max_context, chunk.first + chunk.rows);
    width = ceil_div(max_context, block_size);
    num_blocks = width * std::int64_t(chunks.size()) + 3;
    std::vector<std::int32_t> order(static_cast<std::size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    block_tables.assign(order.begin(), order.begin() + width * std::int64_t(chunks.size()));
    for (std::size_t seq = 0; seq < chunks.size(); ++seq) add(chunks[seq], std::int32_t(seq));
    seq_begin.push_back(std::int32_t(positions.size()));
    const std::int64_t rows = std::int64_t(positions.size()), seqs = std::int64_t(chunks.size());
    batch.rows = {.decode = 0, .total = rows};
    batch.num_seqs = seqs;
    batch.token_ids = TensorView(DType::i32, Shape{rows}, token_ids.data());
    batch.positions = TensorView(DType::i32, Shape{rows}, positions.data());
    batch.slots = TensorView(DType::i64, Shape{rows}, slots.data());
    batch.row_seq = TensorView(DType::i32, Shape{rows}, row_seq.data());
    batch.seq_begin = TensorView(DType::i32, Shape{seqs + 1}, seq_begin.data());
    batch.context_lens = TensorView(DType::i32, Shape{seqs}, context_lens.data());
    batch.block_tables = TensorView(DType::i32, Shape{seqs, width}, block_tables.data());
  }
  PagedBatch(const PagedBatch&) = delete;
  PagedBatch& operator=(const PagedBatch&) = delete;

  std::int64_t slot(std::int64_t seq, std::int64_t position) const {
    return block_tables[std::size_t(seq * width + position / block_size)] * block_size +
           position % block_size;
  }
  std::int64_t num_slots() const { return num_blocks * block_size; }

 private:
  void add(const Chunk& chunk, std::int32_t seq) {
    seq_begin.push_back(std::int32_t(positions.size()));
    context_lens.push_back(chunk.idle ? 0 : std::int32_t(chunk.first + chunk.rows));
    for (std::int64_t i = 0; i < chunk.rows; ++i) {
      token_ids.push_back(chunk.idle ? -1 : 7);
      positions.push_back(chunk.idle ? 0 : std::int32_t(chunk.first + i));
      slots.push_back(chunk.idle ? -1 : slot(seq, chunk.first + i));
      row_seq.push_back(seq);
    }
  }
};

}  // namespace isotope::ops::testing
