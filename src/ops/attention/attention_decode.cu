// Attention of rows in decode phase. A context is cut into splits by the row's position alone; a block computes the
// query heads of one KV head over a split, 16 keys a warp at a time, and the last block of a row to finish merges the
// splits in their order.
//
//   ISOTOPE_ATTENTION_DIM    64 or 128
//   ISOTOPE_ATTENTION_GROUP  query heads of a KV head, at most 16
//   ISOTOPE_ATTENTION_WHOLE, ISOTOPE_ATTENTION_FP8    see attention_common.cuh
#include "ops/attention/attention_common.cuh"

namespace isotope::gpu {

constexpr int kDim = ISOTOPE_ATTENTION_DIM, kGroup = ISOTOPE_ATTENTION_GROUP;
constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kQueryRow = kDim + 8;  ///< elements of a row of queries in shared memory: rows fall on different banks
static_assert((kDim == 64 || kDim == 128) && kGroup >= 1 && kGroup <= kMaxDecodeGroup);

}  // namespace isotope::gpu

#if defined(ISOTOPE_GFX12)
#include "ops/attention/attention_decode_gfx12.cuh"
#else
#include "ops/attention/attention_decode_sm.cuh"
#endif

namespace isotope::gpu {

/// Blocks of a row and KV head that have finished; 0 again when all have.
DEVICE_ZEROS(u32, finished, kDecodePass* kMaxDecodeKvHeads);

/// Keys of one split of a row at `position`.
ISOTOPE_DEVICE int split_keys(int position) {
  const int share = (position + kMaxSplits) / kMaxSplits;  // ceil((position + 1) / kMaxSplits)
  return share <= kMinSplit ? kMinSplit : 1 << (32 - clz(u32(share - 1)));
}

/// Softmax over some keys, not yet divided: the largest score, the sum of weights, the weighted values.
struct Partial {
  float top, sum, value[4];
};
/// In order: what comes first stands first.
ISOTOPE_DEVICE void merge(Partial& to, float top, float sum, const float (&value)[4]) {
  const float both = max(to.top, top);
  // A part without keys has top -inf and weight 0; two of them must not give NaN.
  const float a = to.top == both ? 1.0f : exp2(to.top - both), b = top == both ? 1.0f : exp2(top - both);
  to.top = both;
  to.sum = to.sum * a + sum * b;
#pragma unroll
  for (int i = 0; i < 4; ++i) to.value[i] = to.value[i] * a + value[i] * b;
}

/// What the warps of a block hand over, and where partial results lie in memory.
constexpr int kHandOver = kWarps * kGroup * kDim;                      // floats
constexpr int kStages = kWarps * kStageBytes / 4;                      // floats
constexpr int kShared = kHandOver > kStages ? kHandOver : kStages;
constexpr int kQueryVectors = kGroup * kDim / 8;                       ///< of 16 bytes
constexpr int kOwnQueries = (kQueryVectors + kThreads - 1) / kThreads;  ///< a thread copies
constexpr int kQuads = (kGroup * kDim / 4 + kThreads - 1) / kThreads;  ///< of the output, a thread

/// [row of the pass, head, split]: kDim values; behind all of them the tops and sums likewise.
ISOTOPE_DEVICE float* partial_values(const AttentionParams& p, int row, int head, int split) {
  return p.partials + ((i64(row) * p.heads + head) * kMaxSplits + split) * kDim;
}
ISOTOPE_DEVICE float* partial_stats(const AttentionParams& p, int row, int head, int split) {
  const i64 values = i64(p.end_row - p.first_row) * p.heads * kMaxSplits * kDim;
  return p.partials + values + ((i64(row) * p.heads + head) * kMaxSplits + split) * 2;
}

ISOTOPE_DEVICE void store_output(const AttentionParams& p, int row, int head, int d, const Partial& x) {
  const float y = 1.0f / x.sum;
  store_global8(static_cast<u16*>(p.out) + row * p.out_stride + i64(head) * kDim + d,
         {bf16x2_of(x.value[0] * y, x.value[1] * y), bf16x2_of(x.value[2] * y, x.value[3] * y)});
}

/// The state of one warp: per head the largest score and this lane's share of the sum, and the weighted values.
struct State {
  float top[kHeadTiles], sum[kHeadTiles], total[kHeadTiles][kTiles][kParts];
};

/// A tile's scores in base 2. Keys behind `last` have none.
ISOTOPE_DEVICE void scale_scores(const AttentionParams& p, const Keys& keys, const KeyTile& tile,
                                 float (&s)[kHeadTiles][kScores]) {
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h) {
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      s[h][i] *= kFp8 ? p.scale * keys.scale[i] : p.scale;
      if (tile.first + score_key(i) > tile.last) s[h][i] = minus_infinity();
    }
  }
}

/// The softmax of a tile's scores added to the state.
ISOTOPE_DEVICE void add_tile(const Values& values, float (&s)[kHeadTiles][kScores], State& state) {
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h) {
    float top = state.top[h];
#pragma unroll
    for (int i = 0; i < kScores; ++i) top = max(top, s[h][i]);
    top = over_keys_max(top);
    const float old = exp2(state.top[h] - top);
    state.top[h] = top;
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      s[h][i] = exp2(s[h][i] - top);
      sum += s[h][i];
      if constexpr (kFp8) s[h][i] *= values.scale[i];
    }
    state.sum[h] = state.sum[h] * old + sum;
    float factor[2];
    part_factors(old, factor);
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < kParts; ++i) state.total[h][n][i] *= factor[i % 2];
  }
  accumulate(s, values, state.total);
}

/// What a warp works through: the tiles of its block's splits, every kWarps-th of each. The next tile is on its way while one
/// is computed, across the splits too.
struct Walk {
  KeyTile tile;
  Keys keys;
  Values values;
};
ISOTOPE_DEVICE void start(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile, Walk& walk) {
  walk.tile = tile;
  if (tile.first > tile.last) return;
  load_keys(p, table, kv_head, tile, walk.keys);
  load_values(p, table, kv_head, tile, walk.values);
}

/// The warp's tiles before key `end`, where its split ends; then key `then` is where it goes on.
ISOTOPE_DEVICE void attend(const AttentionParams& p, const int* table, int kv_head, const u16* q, int end, int then,
                           u8* stage, Walk& walk, State& state) {
  const int last = walk.tile.last;
  while (walk.tile.first < end && walk.tile.first <= last) {
    int first = walk.tile.first + kWarps * kTileKeys;
    if (first >= end) first = then;
    const bool more = first <= last;
    const KeyTile next = find_tile(p, table, kv_head, more ? first : walk.tile.first, last);
    float s[kHeadTiles][kScores];
    score(q, walk.keys, stage, s);
    scale_scores(p, walk.keys, walk.tile, s);
    if (more) load_keys(p, table, kv_head, next, walk.keys);
    add_tile(walk.values, s, state);
    if (more) load_values(p, table, kv_head, next, walk.values);
    walk.tile = next;
    walk.tile.first = first;
  }
}

/// Every warp's state into shared memory.
ISOTOPE_DEVICE void hand_over(const State& state, float* shared, float (*tops)[16], float (*sums)[16]) {
  const int warp = warp_index();
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h) {
    const float sum = over_keys_sum(state.sum[h]);
    if (score_head(h) < kGroup) {  // all lanes of a head write the same
      tops[warp][score_head(h)] = state.top[h];
      sums[warp][score_head(h)] = sum;
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int i = 0; i < kParts; ++i) {
        const int head = part_head(h, i);
        if (head < kGroup) shared[(warp * kGroup + head) * kDim + part_element(n, i)] = state.total[h][n][i];
      }
    }
  }
}

/// All splits of a row, read in order by the block that finished last.
ISOTOPE_DEVICE void merge_splits(const AttentionParams& p, int row, int kv_head, int splits) {
  constexpr int kAhead = 8;
  for (int n = 0; n < kQuads; ++n) {
    const int quad = thread_index() + n * kThreads;
    if (quad >= kGroup * kDim / 4) return;
    const int head = kv_head * kGroup + quad / (kDim / 4), d = quad % (kDim / 4) * 4;
    const float* values = partial_values(p, row - p.first_row, head, 0) + d;
    const float* stats = partial_stats(p, row - p.first_row, head, 0);
    Partial all = {minus_infinity(), 0.0f, {}};
    for (int begin = 0; begin < splits; begin += kAhead) {
      Vec16 v[kAhead];
      Vec8 s[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int split = min(begin + i, splits - 1);
        v[i] = load16(values + split * kDim);
        s[i] = load8(stats + split * 2);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (begin + i >= splits) continue;
        const float value[4] = {float_of(v[i].w[0]), float_of(v[i].w[1]), float_of(v[i].w[2]), float_of(v[i].w[3])};
        merge(all, float_of(s[i].w[0]), float_of(s[i].w[1]), value);
      }
    }
    store_output(p, row, head, d, all);
  }
}

/// Every thread its quads of the output: what the warps handed over, merged, to the output if this split is the only one, else
/// to the partial results.
ISOTOPE_DEVICE void merge_warps(const AttentionParams& p, const float* shared, const float (*tops)[16],
                                const float (*sums)[16], int row, int kv_head, int split, bool only) {
  for (int n = 0; n < kQuads; ++n) {
    const int quad = thread_index() + n * kThreads;
    if (quad >= kGroup * kDim / 4) return;
    const int of_group = quad / (kDim / 4), head = kv_head * kGroup + of_group, d = quad % (kDim / 4) * 4;
    Partial all = {minus_infinity(), 0.0f, {}};
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const Vec16 v = load16(shared + (w * kGroup + of_group) * kDim + d);
      const float value[4] = {float_of(v.w[0]), float_of(v.w[1]), float_of(v.w[2]), float_of(v.w[3])};
      merge(all, tops[w][of_group], sums[w][of_group], value);
    }
    if (only) {
      store_output(p, row, head, d, all);
      continue;
    }
    store_global16(partial_values(p, row - p.first_row, head, split) + d,
            {bits_of(all.value[0]), bits_of(all.value[1]), bits_of(all.value[2]), bits_of(all.value[3])});
    if (d == 0) store_global8(partial_stats(p, row - p.first_row, head, split), {bits_of(all.top), bits_of(all.sum)});
  }
}

/// Whether this block is the last of `blocks` of a row and KV head to come here, with their partial results in sight.
ISOTOPE_DEVICE bool is_last(u32* word, u32* count, u32 blocks) {
  fence_device();
  block_barrier();
  if (thread_index() == 0) {
    const bool last = atomic_add(count, 1) == blocks - 1;
    if (last) *count = 0;  // for the next launch
    *word = last;
  }
  block_barrier();
  if (*word == 0) return false;
  fence_device();
  return true;
}

/// Blocks that share a multiprocessor, as its registers allow.
#if defined(ISOTOPE_GFX12)
constexpr int kBlocks = kFp8 ? 6 : 5;
#else
constexpr int kBlocks = kDim == 128 && kGroup > 8 ? 2 : 3;
#endif

/// Grid (rows of the pass, kv_heads, split_blocks), kThreads threads; a block takes splits block_z(), block_z() +
/// split_blocks, …, and those that find none exit at once.
// STREAMS K and V, narrow loads <= 17/8: with FP8, a scale for each key of a tile; its block
KERNEL_BLOCKS(attention_decode, AttentionParams, kThreads, kBlocks) {
  SHARED(float, shared, kShared);
  SHARED(u16, queries, kGroup * kQueryRow);
  SHARED(float, top_words, kWarps * 16);
  SHARED(float, sum_words, kWarps * 16);
  SHARED(u32, last_word, 1);
  wait_for_predecessor();
  release_successor();
  const int row = p.first_row + block_x(), kv_head = block_y(), head = kv_head * kGroup;
  const int seq = p.row_seq[row], position = p.positions[row];
  const int length = split_keys(position);
  int splits = position / length + 1;
  if (block_z() >= splits) return;
  Vec16 q[kOwnQueries];
#pragma unroll
  for (int n = 0; n < kOwnQueries; ++n) {
    const int i = thread_index() + n * kThreads;
    if (i < kQueryVectors) q[n] = load16(static_cast<const u16*>(p.q) + row * p.q_stride + i64(head) * kDim + i * 8);
  }
  const int* table = p.block_tables + seq * p.table_stride;
  // The table is looked into while it is still open whether the row is idle.
  const int first = block_z() * length + warp_index() * kTileKeys;
  KeyTile tile = find_tile(p, table, kv_head, min(first, position), position);
  tile.first = first;
  if (p.context_lens[seq] == 0) {
#pragma unroll 1
    for (int quad = thread_index(); block_z() == 0 && quad < kGroup * kDim / 4; quad += kThreads)
      store_global8(static_cast<u16*>(p.out) + row * p.out_stride + i64(head) * kDim + quad * 4, {0, 0});
    return;
  }
  float(*tops)[16] = reinterpret_cast<float(*)[16]>(top_words);
  float(*sums)[16] = reinterpret_cast<float(*)[16]>(sum_words);
  Walk walk;
  start(p, table, kv_head, tile, walk);
#pragma unroll
  for (int n = 0; n < kOwnQueries; ++n) {
    const int i = thread_index() + n * kThreads;
    if (i < kQueryVectors) store16(queries + i / (kDim / 8) * kQueryRow + i % (kDim / 8) * 8, q[n]);
  }
  block_barrier();
  for (int split = block_z();;) {
    State state = {};
#pragma unroll
    for (int h = 0; h < kHeadTiles; ++h) state.top[h] = minus_infinity();
    const int next = split + p.split_blocks;
    attend(p, table, kv_head, queries, (split + 1) * length, next * length + warp_index() * kTileKeys,
           reinterpret_cast<u8*>(shared) + warp_index() * kStageBytes, walk, state);
    if (kStageBytes > 0) block_barrier();  // the stages of keys become the place to hand over
    hand_over(state, shared, tops, sums);
    block_barrier();
    merge_warps(p, shared, tops, sums, row, kv_head, split, splits == 1);
    if (next >= splits) break;
    split = next;
    block_barrier();
  }
  if (splits == 1) return;
  u32* count = finished + block_x() * kMaxDecodeKvHeads + kv_head;
  if (is_last(last_word, count, u32(min(splits, p.split_blocks)))) merge_splits(p, row, kv_head, splits);
}

}  // namespace isotope::gpu
