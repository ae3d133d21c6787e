// The prefill product of any GPU: y = x·W^T with both operands in tiles, FP8 × FP8 or BF16 × BF16.
//
// PREFILL_FP8     1: E4M3 operands, FP32 scales every 128 values of k; 0: BF16
// PREFILL_TERMS   how many FP8 terms an input value has (1 or 2)
// PREFILL_SCALES  PrefillScales
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_prefill_tile.cuh"

namespace isotope::gpu {
namespace {

constexpr bool kFp8 = PREFILL_FP8;
constexpr int kTerms = PREFILL_TERMS;
constexpr int kScales = PREFILL_SCALES;
constexpr int kThreads = 256;
constexpr int kFeatures = 128;
constexpr int kGroupRows = 1024;  ///< rows of the input that should stay in the L2 cache

/// One stage of shared memory: inputs (terms in turn), weights, then scales of its 128 values of k.
template <int kRows>
struct Stage {
  static constexpr int kInputBytes = kRows * kStageK;
  static constexpr int kWeightBytes = kFeatures * kStageK;
  static constexpr int kOperandBytes = kInputBytes * kTerms + kWeightBytes;
  static constexpr int kVectors = kOperandBytes / 16 / kThreads;
  static constexpr int kBytes = kOperandBytes + (kFp8 ? (kRows + kFeatures) * 4 : 0);
};

/// Stages in shared memory: one that is multiplied, the others on their way.
constexpr int kBuffers = kAsyncCopies ? 3 : 2;

/// What a thread carries from global to shared memory for one stage; vectors only where copies are not asynchronous.
template <int kRows>
struct Carried {
  Vec16 v[kAsyncCopies ? 1 : Stage<kRows>::kVectors];
  float scale;
};

/// A stage's half of a tile has 512 bytes of each panel of 1024.
ISOTOPE_DEVICE const u8* half_tile_vector(const u8* half, int vector) { return half + vector / 32 * 1024 + vector % 32 * 16; }

/// Starts on the way to `shared`; put() ends it.
template <int kRows>
ISOTOPE_DEVICE void fetch(const PrefillParams& p, const PrefillTile& tile, int stage, u8* shared,
                          Carried<kRows>& carried) {
  using S = Stage<kRows>;
  const int k_block = stage / 2;
  const i64 half = stage % 2 * kPanelBytes;
  const i64 row = i64(tile.row) * kRows;
  const u8* const a = static_cast<const u8*>(p.a) + (row / 128 * p.k_blocks + k_block) * 16384 + row % 128 * 128 + half;
  const u8* const w = static_cast<const u8*>(p.w) + (i64(tile.column) * p.k_blocks + k_block) * 16384 + half;
#pragma unroll
  for (int i = 0; i < S::kVectors; ++i) {
    const int vector = i * kThreads + thread_index();
    constexpr int kInput = S::kInputBytes / 16;
    const int term = i * kThreads / kInput;
    const u8* const from = term < kTerms ? half_tile_vector(a + term * p.a_term_bytes, vector % kInput)
                                         : half_tile_vector(w, vector - kTerms * kInput);
    if constexpr (kAsyncCopies)
      copy_async16(shared + vector * 16, from);
    else
      carried.v[i] = load16(from);
  }
  if constexpr (kFp8) {
    const int t = thread_index();
    carried.scale = 1.0f;
    if (t < kRows) {
      carried.scale = p.a_scales[k_block * p.a_scale_stride + row + t];
    } else if (kScales != prefill_scales_end && t < kRows + kFeatures) {
      const i64 f = i64(tile.column) * kFeatures + (t - kRows);
      carried.scale = p.w_scales[(kScales == prefill_scales_block ? f / 8 : f) * p.k_blocks + k_block];
    }
  }
}

template <int kRows>
ISOTOPE_DEVICE void put(u8* shared, const Carried<kRows>& carried) {
  using S = Stage<kRows>;
  if constexpr (!kAsyncCopies) {
#pragma unroll
    for (int i = 0; i < S::kVectors; ++i) store16(shared + (i * kThreads + thread_index()) * 16, carried.v[i]);
  }
  if constexpr (kFp8)
    if (thread_index() < kRows + kFeatures)
      reinterpret_cast<float*>(shared + S::kOperandBytes)[thread_index()] = carried.scale;
}

/// kRows × 128 features a block: eight warps, two along the rows and four along the features. While a stage is
/// multiplied, the next are on their way.
template <int kRows>
ISOTOPE_DEVICE void product(const PrefillParams& p) {
  using S = Stage<kRows>;
  constexpr int kWarpRows = kRows / 2, kAhead = kBuffers - 1;
  wait_for_predecessor();
  release_successor();
  const int row_tiles = (p.rows + kRows - 1) / kRows;
  const PrefillTile tile = prefill_tile(block_x(), row_tiles, p.w_tiles, kGroupRows / kRows);
  const int warp_row = warp_index() % 2 * kWarpRows, warp_feature = warp_index() / 2 * kWarpFeatures;
  const int stages = p.k_blocks * 2;  // at least two
  u8* const shared = dynamic_shared();

  WarpSums<kWarpRows> sum = {};
  WarpSums<kFp8 ? kWarpRows : 16> total = {};
  Carried<kRows> carried;
#pragma unroll
  for (int stage = 0; stage < kAhead; ++stage) {
    fetch(p, tile, stage, shared + stage * S::kBytes, carried);
    copy_async_commit();
    put(shared + stage * S::kBytes, carried);
  }
  int now = 0, later = kAhead;  // buffers of this stage and of the one that is fetched
  for (int stage = 0; stage < stages; ++stage) {
    copy_async_wait<kAhead - 1>();
    block_barrier();  // this stage is there, and nobody reads the one before
    const bool more = stage + kAhead < stages;
    if (more) fetch(p, tile, stage + kAhead, shared + later * S::kBytes, carried);
    copy_async_commit();
    const u8* const operands = shared + now * S::kBytes;
    multiply<kFp8, kTerms>(sum, operands + warp_row / 8 * kPanelBytes, S::kInputBytes,
                           operands + S::kInputBytes * kTerms + warp_feature / 8 * kPanelBytes);
    if constexpr (kFp8) {
      if (stage % 2 == 1) {
        const float* const scales = reinterpret_cast<const float*>(operands + S::kOperandBytes);
        promote<kScales>(total, sum, scales + warp_row, scales + kRows + warp_feature);
        sum = {};
      }
    }
    if (more) put(shared + later * S::kBytes, carried);
    now = now + 1 == kBuffers ? 0 : now + 1;
    later = later + 1 == kBuffers ? 0 : later + 1;
  }
  const i64 row = i64(tile.row) * kRows + warp_row;
  const int feature = tile.column * kFeatures + warp_feature;
  if constexpr (kFp8)
    write_warp(p, row, feature, total, kScales == prefill_scales_end);
  else
    write_warp(p, row, feature, sum, kScales == prefill_scales_end);
}

}  // namespace

/// y[rows, n] from tiles of 128 input rows × 128 features. Grid: all tiles, one block of 256 threads each. Dynamic shared
/// memory: kBuffers stages. Scratch rows behind the last may hold anything; they reach no other row.
// STREAMS weights, narrow loads <= 1/3: scales
KERNEL(linear_prefill_128, PrefillParams, 256) { product<128>(p); }

/// The same with tiles of 64 rows: the same bits, less waste for few rows.
// STREAMS weights, narrow loads <= 1/3: scales
KERNEL(linear_prefill_64, PrefillParams, 256) { product<64>(p); }

}  // namespace isotope::gpu
