#include "ops/embed/embed_gpu.h"

#include "base/checked.h"
#include "base/error.h"
#include "ops/embed/embed_params.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops::gpu {

void embed_gpu(Context& context, const TensorView& ids, const LinearWeight& table,
               const TensorView& out) {
  const bool tiles = table.layout == WeightLayout::gpu_tile128;
  if ((!tiles && table.layout != WeightLayout::gpu_rows) || table.row_order != RowOrder::stacked)
    fail(ErrorCode::internal, "embed: a table that was not packed for a GPU, row after row");
  const auto size = std::int64_t(size_of(table.dtype));
  const bool blocks = table.scale_layout == ScaleLayout::block_128x128;
  isotope::gpu::EmbedParams params{};
  params.table = table.data.data();
  params.scales =
      table.scale_layout == ScaleLayout::none ? nullptr : table.scales.as<const float>();
  params.ids = ids.as<const std::int32_t>();
  params.out = out.as<float>();
  params.out_stride = out.row_stride;
  params.n = int(table.n);
  params.k = int(table.k);
  params.vectors = int(table.padded_k * size / 16);
  params.tiles = tiles;
  params.scale_shift = blocks && !table.scales_per_feature ? 3 : 0;
  params.scale_columns = blocks ? int(ceil_div<std::int64_t>(table.k, 128)) : 1;

  jit::Unit unit;
  unit.name = fmt::format("embed<{}>", name_of(table.dtype));
  unit.file = "ops/embed/embed.cu";
  unit.defines = {{"ISOTOPE_EMBED_WEIGHT", std::to_string(size)}};
  device::Launch launch;
  launch.grid = {std::uint32_t(ids.shape[0]), 1, 1};
  launch.threads = 128;
  launch.overlaps_predecessor = true;
  context.kernels().launch({unit, "embed"}, launch, params);
}

}  // namespace isotope::ops::gpu
