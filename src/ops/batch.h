// One step's work, as the kernels see it.
#pragma once

#include <cstdint>

#include "base/tensor.h"
#include "ops/context.h"

namespace isotope::ops {

/// A mixed batch: each sequence contributes consecutive rows (one for a plain decode, a chunk for a prefill). Sequences in decode
/// phase come first, so that rows [0, rows.decode) are theirs. All tensors are in device memory.
/// Row r of sequence s at position p attends to keys 0..p of s, which are in the cache once this step has stored its own.
/// An idle row (batch padded to a captured size): token -1, position 0, slot -1, a sequence with context_len 0: it stores nothing and
/// its attention output is 0.
struct Batch {
  Rows rows;
  std::int64_t num_seqs = 0;
  TensorView token_ids;     ///< [rows] i32
  TensorView positions;     ///< [rows] i32, from 0
  TensorView slots;         ///< [rows] i64 into the KV cache; -1 stores nothing
  TensorView row_seq;       ///< [rows] i32: the sequence of each row
  TensorView seq_begin;     ///< [num_seqs + 1] i32: first row of each sequence
  TensorView context_lens;  ///< [num_seqs] i32: keys in the cache after this step
  TensorView block_tables;  ///< [num_seqs, width] i32: block of each block_size positions
  TensorView logit_rows;    ///< [num_logits] i32: rows whose logits are wanted
};

}  // namespace isotope::ops
