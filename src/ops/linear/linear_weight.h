// The weight of a linear layer as the device keeps it: packed once at load, streamed at every step.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/tensor.h"
#include "device/device.h"
#include "ops/context.h"

namespace isotope::ops {

/// How the elements of W[n, k] lie in memory.
enum class WeightLayout : std::uint8_t {
  row_major_f32,  ///< [n, k] dequantized FP32: the oracle's
  cpu_tile16,     ///< tiles of 16 output features, see below
  gpu_tile128,    ///< tiles of 128 output features and 128 bytes of k, see below
  gpu_rows,       ///< [n, k] as it is: a table that is only gathered from
};

/// Where the rows of a stack go.
enum class RowOrder : std::uint8_t {
  stacked,             ///< one part after the other
  interleaved_halves,  ///< of two equal parts (gate, up): eight rows of the first, eight of the second, … (GPU only)
};

/// W[n, k] on a device, with scales. BF16, FP8 E4M3 or F32; F16 checkpoints are widened to BF16's
/// range at load.
///
/// cpu_tile16: n is padded to a multiple of 16 and k to a multiple of 32 with zeros. Tile t holds
/// output features 16t..16t+15 for all of k, contiguous, so that one thread streams one tile.
///   BF16: [k/2][16][2]: the pairs that VDPBF16PS and TDPBF16PS multiply (VNNI order).
///   FP8:  64 bytes for each 4 values of k: for each quarter q of 4 features, 8 bytes of pair 0
///   ([4][2]) then 8 of pair 1, so that
///         VPUNPCKLBW/HBW of the widened halves give the two pairs in BF16 order.
///   F32:  [k][16].
/// Scales: per_row has one FP32 per padded output feature. block_128x128 has one per (tile, 128
/// values of k), or with scales_per_feature one per (tile, 128 values of k, feature of the tile). A
/// matrix has one of these or none.
///
/// row_major_f32 has no padding and no scales; `dtype` still says what the weights are, hence which
/// x they take.
///
/// gpu_tile128: n is padded to a multiple of 128 and k to one of 128 / size_of(dtype), with zeros. The unit is a
/// *vector*: 16 bytes of one row's consecutive k. Eight rows × one vector are a *core* (128 bytes, the core matrix of
/// wgmma); eight cores along k a *panel* (8 rows × 128 bytes of k, 1 KiB); sixteen panels along n a *tile* (16 KiB).
///   byte of (row r, vector v) = ((r / 128 · padded_k_bytes / 128 + v / 8) · 16 + r % 128 / 8) · 1024
///                               + v % 8 · 128 + r % 8 · 16
/// so that a warp's load of 16 rows × 64 bytes is made of whole 128-byte lines, a tile is one bulk copy, and both vendors'
/// matrix fragments are whole vectors a lane.
/// Scales: per_row has one FP32 per padded row. block_128x128 has [padded_n / 8][ceil(k / 128)] FP32, one for each eight
/// rows, or with scales_per_feature [padded_n][ceil(k / 128)]. Both in the order of the packed rows.
/// interleaved_halves: feature i of part h (0, 1) is row i / 8 · 16 + 8·h + i % 8; each part is padded to a multiple of 8.
///
/// gpu_rows: rows of padded_k = round_up(k, 16 / size_of(dtype)) elements; scales as above.
struct LinearWeight {
  std::int64_t n = 0, k = 0;  ///< without padding
  std::int64_t padded_n = 0, padded_k = 0;
  DType dtype = DType::bf16;  ///< bf16, f8_e4m3 or f32
  WeightLayout layout = WeightLayout::cpu_tile16;
  ScaleLayout scale_layout = ScaleLayout::none;  ///< none, per_row or block_128x128
  /// A stack in which a part begins inside a tile: tiles there cross blocks. Never in a stack of
  /// one part.
  bool scales_per_feature = false;
  RowOrder row_order = RowOrder::stacked;
  device::Buffer data;
  device::Buffer scales;

  bool empty() const { return data.data() == nullptr; }
  std::size_t bytes() const { return data.size() + scales.size(); }
};

/// One matrix of a stack; `release` is called when its bytes were read for the last time.
struct LinearPart {
  ScaledTensor tensor;
  std::function<void()> release;
};

/// Stacks matrices with equal k and dtype along n (q, k, v; gate, up) and packs them. Scales of
/// different layouts become per_row; blocks stay blocks. Block scales of a part whose n is not a
/// multiple of 16 within the stack are handled (padding is internal: output feature j of the stack
/// is always column j of the product). `allow_f32`: keep F32 weights; otherwise they are rounded to
/// BF16. FP8 weights with NaN codes are an Error. `options` concern GPUs only.
struct PackOptions {
  RowOrder row_order = RowOrder::stacked;
  bool gathered_only = false;  ///< layout gpu_rows: an embedding table that is no head
  bool pinned = false;         ///< in page-locked host memory
};
LinearWeight pack_linear(Context& context, std::span<const LinearPart> parts, bool allow_f32,
                         const PackOptions& options = {});

/// Bytes that pack_linear will allocate for a matrix: for the memory plan. `dtype`
/// is the checkpoint's (f32: kept). Scales per feature, which odd stacks need, are not foreseen, nor
/// interleaved halves whose size is no multiple of 8.
std::size_t packed_bytes(std::int64_t n, std::int64_t k, DType dtype, ScaleLayout scale_layout,
                         WeightLayout layout = WeightLayout::cpu_tile16);

/// y[m, n] (f32 or bf16) = x[m, k] · W[n, k]^T, or y += … (f32) if `accumulate`. x: bf16 for BF16
/// and FP8 weights, f32 for F32 weights, dense, its rows padded with zeros to W.padded_k. The
/// building block of norm_linear and linear_add.
void matmul(Context& context, const TensorView& x, const LinearWeight& weight, const TensorView& y,
            Rows rows, bool accumulate);

}  // namespace isotope::ops
