// Attention of rows in prefill phase, on matrix units. A tile is kQueries query vectors: some rows of one sequence with all
// query heads of one KV head. It goes through the keys in blocks of 64 from position 0, so that the bits of a row depend on
// its position alone: a block behind a row's position changes nothing.
//
//   ISOTOPE_ATTENTION_DIM    64 or 128
//   ISOTOPE_ATTENTION_GROUP  query heads of a KV head, at most 16
//   ISOTOPE_ATTENTION_WHOLE, ISOTOPE_ATTENTION_FP8    see attention_common.cuh
#include "ops/attention/attention_common.cuh"

namespace isotope::gpu {

constexpr int kDim = ISOTOPE_ATTENTION_DIM, kGroup = ISOTOPE_ATTENTION_GROUP;
constexpr int kQueries = kPrefillQueries, kTileRows = kQueries / kGroup, kKeys = kPrefillKeys;
constexpr int kSteps = kDim / 16;  ///< matrix products along the head
static_assert((kDim == 64 || kDim == 128) && kGroup >= 1 && kGroup <= 16);

/// Rows of one sequence for one block, and what they look at.
struct QueryTile {
  int row, rows;    ///< in the batch
  int first, last;  ///< positions of the first and the last row
  int kv_head;
  i64 table;  ///< where the sequence's row of block_tables begins; -1: it is idle
};

/// The tile of number `index`: sequences in order, each from its end, where there is most to do.
ISOTOPE_DEVICE bool find_rows(const AttentionParams& p, int index, QueryTile& tile) {
  for (int seq = p.row_seq[p.first_row]; seq < p.num_seqs; ++seq) {
    const int begin = max(p.seq_begin[seq], p.first_row), end = min(p.seq_begin[seq + 1], p.end_row);
    const int tiles = max(0, end - begin + kTileRows - 1) / kTileRows;
    if (index >= tiles) {
      index -= tiles;
      continue;
    }
    tile.row = begin + (tiles - 1 - index) * kTileRows;
    tile.rows = min(kTileRows, end - tile.row);
    tile.first = p.positions[tile.row];
    tile.last = p.positions[tile.row + tile.rows - 1];
    tile.kv_head = block_y();
    tile.table = p.context_lens[seq] == 0 ? -1 : seq * p.table_stride;
    return true;
  }
  return false;
}

/// Query vector m of a tile is head m % kGroup of row m / kGroup; those behind the last row repeat it and are not stored.
ISOTOPE_DEVICE int query_row(const QueryTile& tile, int m) { return min(m / kGroup, tile.rows - 1); }
ISOTOPE_DEVICE bool is_query(const QueryTile& tile, int m) { return m / kGroup < tile.rows; }
ISOTOPE_DEVICE i64 query_offset(const AttentionParams& p, const QueryTile& tile, i64 stride, int m) {
  return (tile.row + query_row(tile, m)) * stride + (i64(tile.kv_head) * kGroup + m % kGroup) * kDim;
}

/// 1: an element of a block is not finite; such values of the future must not reach rows of the past, so they become 0, and
/// rows at or behind them NaN.
ISOTOPE_DEVICE bool any_special(const Vec16& v) {
  u32 special = 0;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    special |= u32((v.w[w] & 0x7f80u) == 0x7f80u) | u32((v.w[w] & 0x7f800000u) == 0x7f800000u);
  }
  return special != 0;
}
constexpr int kNever = 0x7fffffff;

}  // namespace isotope::gpu

#if defined(ISOTOPE_GFX12)
#include "ops/attention/attention_prefill_gfx12.cuh"
#else
#include "ops/attention/attention_prefill_sm.cuh"
#endif

namespace isotope::gpu {

/// Grid (ceil(rows / kTileRows) + num_seqs, kv_heads), kThreads threads; shared memory as attention_params.h says.
// STREAMS K and V, narrow loads <= 3/2: with FP8, a scale for each key of a tile; its blocks
KERNEL_BLOCKS(attention_prefill, AttentionParams, kThreads, kBlocks) {
  wait_for_predecessor();
  release_successor();
  SHARED(QueryTile, shared_tile, 1);
  QueryTile& tile = shared_tile[0];
  {
    QueryTile found;
    if (!find_rows(p, block_x(), found)) return;
    if (thread_index() == 0) tile = found;
  }
  block_barrier();
  if (tile.table >= 0) return attend(p, tile);
#pragma unroll 1
  for (int i = thread_index(); i < tile.rows * kGroup * (kDim / 8); i += kThreads)
    store_global16(static_cast<u16*>(p.out) + query_offset(p, tile, p.out_stride, i / (kDim / 8)) + i % (kDim / 8) * 8,
                   {});
}

}  // namespace isotope::gpu
