// The fast form on the CPU: which kernel, and how the work is cut into tasks.
#include <algorithm>
#include <functional>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_forms.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {
namespace {

using device::Isa;

/// AMX spends the same time on 16 rows as on 1; from about 4 rows on it is no slower than a row at
/// a time.
constexpr std::int64_t kFewestAmxRows = 4;
/// Weight bytes × rows below which a task costs less than handing it out.
constexpr std::int64_t kSmallTask = 16 << 10;
/// Tasks a thread, so that a thread that was held up does not hold up the others for long.
constexpr std::int64_t kTasksPerThread = 8;

TileKernel decode_kernel(Isa isa, DType weights) {
  if (isa < Isa::avx512) return multiply_tiles_avx2;
  return isa == Isa::avx512 || weights == DType::f32 ? multiply_tiles_avx512
                                                     : multiply_tiles_avx512_bf16;
}

TileKernel prefill_kernel(Isa isa, DType weights) {
  return isa == Isa::amx && weights != DType::f32 ? multiply_tiles_amx
                                                  : decode_kernel(isa, weights);
}

TileScales scale_form(const LinearWeight& weight) {
  switch (weight.scale_layout) {
    case ScaleLayout::none:
      return TileScales::none;
    case ScaleLayout::per_row:
      return TileScales::row;
    case ScaleLayout::block_128x128:
      return weight.scales_per_feature ? TileScales::block_feature : TileScales::block;
    case ScaleLayout::per_tensor:
      break;
  }
  assertion_failed("a packed scale layout", __FILE__, __LINE__);
}

TileMatmul describe(const TensorView& x, const LinearWeight& weight, const TensorView& y,
                    bool accumulate) {
  TileMatmul matmul;
  matmul.weights = weight.data.as<const std::byte>();
  matmul.tile_bytes = weight.padded_k * kTileFeatures * std::int64_t(size_of(weight.dtype));
  matmul.weight_dtype = weight.dtype;
  matmul.scale_form = scale_form(weight);
  matmul.scales = weight.scales.as<const float>();
  matmul.n = weight.n;
  matmul.padded_k = weight.padded_k;
  matmul.x = x.data;
  matmul.x_stride = x.row_stride;
  matmul.y = y.data;
  matmul.y_dtype = y.dtype;
  matmul.y_stride = y.row_stride;
  matmul.accumulate = accumulate;
  return matmul;
}

/// How [tiles] × [rows] are cut into tasks. No choice here changes a result: see TileKernel.
struct Cut {
  std::int64_t width = kMaxTiles;  ///< tiles of a kernel call
  std::int64_t groups = 1;         ///< calls that cover all tiles
  std::int64_t groups_per_task = 1;
  std::int64_t chunk_rows = kMaxRows;
  std::int64_t chunks = 1;
};

Cut cut(const TileMatmul& matmul, TileKernel kernel, std::int64_t rows, int threads) {
  Cut cut;
  const std::int64_t tiles = ceil_div(matmul.n, kTileFeatures);
  cut.chunk_rows = kernel == multiply_tiles_amx ? kMaxAmxRows : kMaxRows;
  cut.chunks = ceil_div(rows, cut.chunk_rows);
  const std::int64_t wanted = kTasksPerThread * threads;
  const auto groups_of = [tiles](std::int64_t width) { return ceil_div(tiles, width); };
  // Narrow calls multiply more slowly, so only as narrow as it takes to give every thread work.
  while (cut.width > 1 && groups_of(cut.width) * cut.chunks < 2 * threads) cut.width /= 2;
  cut.groups = groups_of(cut.width);
  const std::int64_t group_cost = cut.width * matmul.tile_bytes * std::min(rows, cut.chunk_rows);
  cut.groups_per_task = std::max(cut.groups * cut.chunks / wanted, kSmallTask / group_cost);
  cut.groups_per_task = std::clamp<std::int64_t>(cut.groups_per_task, 1, cut.groups);
  return cut;
}

/// Rows [begin, begin + rows) by one kernel.
void run(ThreadPool& pool, const TileMatmul& matmul, TileKernel kernel, std::int64_t begin,
         std::int64_t rows) {
  if (rows == 0) return;
  const std::int64_t tiles = ceil_div(matmul.n, kTileFeatures);
  const Cut c = cut(matmul, kernel, rows, pool.size());
  // Chunks of rows vary fastest, so that threads share weights that one of them has fetched.
  const auto body = [&](std::int64_t task, int) {
    const std::int64_t row = task % c.chunks * c.chunk_rows;
    const std::int64_t first = task / c.chunks * c.groups_per_task;
    const std::int64_t end = std::min(first + c.groups_per_task, c.groups);
    for (std::int64_t group = first; group < end; ++group) {
      TileRange range;
      range.tile = group * c.width;
      range.tiles = std::min(c.width, tiles - range.tile);
      range.row = begin + row;
      range.rows = std::min(c.chunk_rows, rows - row);
      range.goes_on = group + 1 < end;
      kernel(matmul, range);
    }
  };
  pool.parallel_for(ceil_div(c.groups, c.groups_per_task) * c.chunks, std::cref(body));
}

}  // namespace

void matmul_cpu(Context& context, const TensorView& x, const LinearWeight& weight,
                const TensorView& y, Rows rows, bool accumulate) {
  auto& device = static_cast<device::CpuDevice&>(context.device());
  const TileMatmul matmul = describe(x, weight, y, accumulate);
  const TileKernel prefill = prefill_kernel(device.isa(), weight.dtype);
  TileKernel decode = decode_kernel(device.isa(), weight.dtype);
  if (!context.batch_invariant() && rows.decode >= kFewestAmxRows) decode = prefill;
  if (decode == prefill) return run(device.pool(), matmul, decode, 0, rows.total);
  run(device.pool(), matmul, decode, 0, rows.decode);
  run(device.pool(), matmul, prefill, rows.decode, rows.total - rows.decode);
}

}  // namespace isotope::ops
