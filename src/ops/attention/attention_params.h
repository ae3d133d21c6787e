// What host and device code of attention share.
#pragma once

namespace isotope::gpu {

struct AttentionParams {
  const void* q;    ///< [rows, heads, D]
  void* out;        ///< [rows, heads·D]
  const void* k;    ///< [slots, kv_heads, D]
  const void* v;
  const float* k_scale;  ///< [slots, kv_heads], FP8 only
  const float* v_scale;
  const int* positions;     ///< [rows]
  const int* row_seq;       ///< [rows]
  const int* seq_begin;     ///< [num_seqs + 1]
  const int* context_lens;  ///< [num_seqs]
  const int* block_tables;  ///< [num_seqs, table_stride]
  float* partials;          ///< decode: see attention_decode.cu
  long long q_stride;       ///< elements from row to row
  long long out_stride;
  long long table_stride;
  int first_row, end_row;  ///< the rows of this launch
  int num_seqs;
  int heads, kv_heads, head_dim;
  int block_size;
  int block_shift;  ///< log2(block_size), or -1 if that is no power of two
  int split_blocks; ///< decode: blocks that share the splits of a row's context
  float scale;      ///< log2(e) / sqrt(D): softmax is taken in base 2
};

/// The parts that decode cuts a context into depend on the position alone: at most kMaxSplits, each a power of two of keys,
/// at least kMinSplit.
constexpr int kMaxSplits = 32, kMinSplit = 64;
/// Rows of one launch of decode at most: bounds its scratch and its counters.
constexpr int kDecodePass = 128;
constexpr int kMaxDecodeKvHeads = 128;
constexpr int kMaxDecodeGroup = 16;

/// Prefill: query vectors of a tile, and the launch on either vendor; bytes of shared memory for heads of `dim`.
constexpr int kPrefillQueries = 128, kPrefillKeys = 64;
constexpr int prefill_threads_sm(bool fp8) { return fp8 ? 256 : 128; }
constexpr int kPrefillThreadsGfx12 = 256;
constexpr int prefill_shared_sm(int dim, bool fp8) {
  const int queries = kPrefillQueries * dim * 2, keys = 2 * kPrefillKeys * dim * 2;
  return fp8 ? queries + keys + 2 * (keys / 2) + 2 * (2 * kPrefillKeys * 4) : queries + 2 * keys + prefill_threads_sm(fp8) * 4;
}
constexpr int prefill_shared_gfx12(int dim, bool fp8) {
  return kPrefillKeys * (dim * 2 + 16) + dim * (kPrefillKeys * 2 + 16) + (fp8 ? 2 * kPrefillKeys * 4 : 0) +
         kPrefillThreadsGfx12 * 4;
}

}  // namespace isotope::gpu
