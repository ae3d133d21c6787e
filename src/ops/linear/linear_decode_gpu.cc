// The decode-phase product on a GPU: which kernels run, and how the work is cut. What decides an
// output row's bits (parts and groups of k) depends on the shape of the weight, on the card and its
// tuning table alone; the number of rows chooses only how many columns a kernel multiplies at once,
// and how.
#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/error.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_decode_gpu.h"
#include "ops/linear/linear_decode_params.h"
#include "ops/linear/linear_gpu.h"
#include "ops/linear/linear_wide_wgmma.h"

namespace isotope::ops::gpu {
namespace {

using isotope::gpu::LinearDecodeParams;
using isotope::gpu::LinearInputsParams;
using isotope::gpu::LinearSource;

constexpr std::int64_t kMaxRows = 128;  ///< that one pass over the weights serves
constexpr std::int64_t kNarrowRows =
    16;  ///< up to here blocks multiply a strip, then 128 weight rows
constexpr std::int64_t kStripRows = 16, kTileRows = 128, kTileBytes = 128;
constexpr std::int64_t kParts = 8;             ///< of k
constexpr std::int64_t kMaxSplitBlocks = 512;  ///< blocks whose sums pass through the workspace
/// Bytes of x that every block may read for itself; beyond, a kernel of its own prepares the
/// inputs.
constexpr std::int64_t kMaxFusedBytes = 32 << 10;
/// Shared memory for these inputs: three blocks have to fit into a multiprocessor, with their sums.
constexpr std::int64_t kMaxFusedShared = 26 << 10, kMaxFusedSharedNvidia = 40 << 10;
constexpr std::int64_t kReservedShared = 1
                                         << 10;  ///< of a block, by the system or for small arrays
constexpr std::uint32_t kThreads = 256;

struct Card {
  bool amd, wgmma;
  std::int64_t multiprocessors, mma_rows;
  std::int64_t shared, shared_per_block;  ///< bytes of a multiprocessor; what a block can have
  const Tuning* tuning;

  explicit Card(const KernelLibrary& kernels) : Card(kernels.properties(), kernels.tuning()) {}
  Card(const device::GpuProperties& properties, const Tuning& table)
      : amd(properties.arch.starts_with("gfx")),
        wgmma(properties.arch == "sm_90a"),
        multiprocessors(std::max(1, properties.multiprocessors)),
        mma_rows(amd ? 16 : 8),
        shared(std::int64_t(properties.shared_per_multiprocessor)),
        shared_per_block(std::int64_t(properties.shared_per_block)),
        tuning(&table) {}
};

std::int64_t k_tiles(const LinearWeight& weight) {
  return weight.padded_k * std::int64_t(size_of(weight.dtype)) / kTileBytes;
}

/// What the tuning table matches; `bucket` 0: for all numbers of rows.
TuningShape tuning_shape(const LinearWeight& weight, std::int64_t bucket) {
  return {weight.dtype, weight.n, weight.k, bucket};
}

bool groups_fit(const LinearWeight& weight, const Card& card, std::int64_t groups) {
  return groups <= std::min(kParts, k_tiles(weight)) &&
         (card.wgmma || weight.padded_n / kTileRows * groups <= kMaxSplitBlocks);
}

/// As few groups as give every multiprocessor its share.
std::int64_t usual_groups(const LinearWeight& weight, const Card& card) {
  if (card.wgmma) return wgmma_groups(weight, card.multiprocessors);
  const std::int64_t tiles = weight.padded_n / kTileRows;
  const std::int64_t slots = card.multiprocessors * (card.amd ? 2 : 1);
  const auto cost = [&](std::int64_t groups) {
    return double(ceil_div(tiles * groups, slots)) / double(groups);
  };
  std::int64_t best = 1;
  for (std::int64_t groups = 2; groups <= kParts; groups *= 2)
    if (groups_fit(weight, card, groups) && cost(groups) < 0.95 * cost(best)) best = groups;
  return best;
}

/// Into how many groups the parts of k are put, each a block of the form for many rows.
std::int64_t groups_of(const LinearWeight& weight, const Card& card) {
  const std::int64_t usual = usual_groups(weight, card);
  const std::int64_t tuned =
      card.tuning->value("linear_wide", tuning_shape(weight, 0), "groups", usual);
  return groups_fit(weight, card, tuned) ? tuned : usual;
}

/// How many columns a kernel multiplies at once.
struct Form {
  std::int64_t bucket;  ///< of the tuning table
  std::int64_t columns;
  bool fused;
  std::int64_t passes = 1;  ///< over the weights, side by side
  bool wide() const { return columns > kNarrowRows; }
};

std::int64_t fused_shared_bytes(const LinearWeight& weight, const Card& card, std::int64_t rows) {
  const std::int64_t scales = card.amd ? k_tiles(weight) : 1;
  return rows * (weight.padded_k * 2 + scales * std::int64_t(sizeof(float))) + 16;
}

bool can_fuse(const LinearCall& call, const Card& card, std::int64_t rows) {
  return rows <= card.mma_rows &&
         rows * call.weight->padded_k * std::int64_t(size_of(call.x.dtype)) <= kMaxFusedBytes &&
         fused_shared_bytes(*call.weight, card, rows) <=
             (card.amd ? kMaxFusedShared : kMaxFusedSharedNvidia);
}

/// Columns whose sums registers can hold beside everything else.
std::int64_t most_columns(const LinearWeight& weight, const Card& card) {
  const bool tight = weight.dtype == DType::bf16 || weight.scales_per_feature;
  return card.amd || (tight && !card.wgmma) ? 64 : 128;
}

/// All numbers of rows of a bucket take the same form.
Form form_for(const LinearCall& call, const Card& card, std::int64_t rows) {
  const std::int64_t bucket = decode_bucket(rows);
  if (can_fuse(call, card, bucket) &&
      card.tuning->value("linear_decode", tuning_shape(*call.weight, bucket), "fused", 1) == 1)
    return {bucket, card.mma_rows, true};
  const std::int64_t columns = std::clamp(bucket, card.mma_rows, most_columns(*call.weight, card));
  return {bucket, columns, false, ceil_div(rows, columns)};
}

const char* tuned_op(const Form& form) { return form.wide() ? "linear_wide" : "linear_decode"; }

std::string define(std::int64_t value) { return std::to_string(value); }

struct Names {
  const char* dtype;
  const char* scales;
  int scale_form;
};

Names names_of(const LinearWeight& weight) {
  const bool blocks = weight.scale_layout == ScaleLayout::block_128x128;
  return {weight.dtype == DType::f8_e4m3 ? "fp8"
          : weight.dtype == DType::bf16  ? "bf16"
                                         : "f32",
          !blocks                     ? ""
          : weight.scales_per_feature ? ",feature"
                                      : ",block",
          !blocks                     ? 0
          : weight.scales_per_feature ? 2
                                      : 1};
}

/// Whether the product takes its inputs as operands of wgmma.
bool takes_operands(const LinearWeight& weight, const Form& form, const Card& card) {
  return card.wgmma && form.wide() && weight.dtype != DType::f32;
}

KernelName inputs_kernel(const LinearWeight& weight, bool operands) {
  jit::Unit unit;
  unit.name =
      fmt::format("linear_inputs<{}{}>", names_of(weight).dtype, operands ? ",operands" : "");
  unit.file = "ops/linear/linear_inputs.cu";
  unit.defines = {{"ISOTOPE_LINEAR_WEIGHT", define(std::int64_t(size_of(weight.dtype)))}};
  if (operands) unit.defines.emplace_back("ISOTOPE_LINEAR_OPERANDS", "1");
  return {unit, "linear_inputs"};
}

/// Blocks that share a multiprocessor: as many as registers allow with enough weights in flight.
std::int64_t usual_blocks(const Form& form, const Card& card) {
  if (card.amd) return form.wide() ? 2 : 4;
  if (!form.wide()) return form.columns == 8 ? 3 : 2;
  return 1;
}

std::int64_t resident_blocks(const LinearWeight& weight, const Form& form, const Card& card) {
  return card.tuning->value(tuned_op(form), tuning_shape(weight, form.bucket), "blocks",
                            usual_blocks(form, card));
}

/// Weight tiles in flight a warp, without spills.
std::int64_t usual_depth(const LinearWeight& weight, const Form& form, const Card& card) {
  return card.amd && form.wide() && weight.scales_per_feature ? 1 : 2;
}

std::int64_t ring_depth(const LinearWeight& weight, const Form& form, const Card& card) {
  return card.tuning->value(tuned_op(form), tuning_shape(weight, form.bucket), "depth",
                            usual_depth(weight, form, card));
}

WgmmaCut cut_of(const LinearWeight& weight, const Form& form, const Card& card) {
  const std::int64_t groups = groups_of(weight, card);
  const std::int64_t tile_rows =
      card.tuning->value("linear_wide", tuning_shape(weight, form.bucket), "tile_rows",
                         wgmma_tile_rows(weight, form.columns, groups, card.multiprocessors));
  return wgmma_cut(weight, form.columns, groups, tile_rows, card.multiprocessors,
                   card.shared_per_block);
}

/// Blocks a multiprocessor beyond which so many tiles in flight would be in no register.
std::int64_t most_blocks(const Form& form, const Card& card, std::int64_t depth) {
  if (form.wide()) return 2;
  if (card.amd) return 6;
  return depth == 1 ? 4 : depth == 2 ? 3 : depth <= 4 ? 2 : 1;
}

KernelName product_kernel(const LinearWeight& weight, const Form& form, const Card& card) {
  const Names names = names_of(weight);
  jit::Unit unit;
  unit.defines = {{"ISOTOPE_LINEAR_WEIGHT", define(std::int64_t(size_of(weight.dtype)))},
                  {"ISOTOPE_LINEAR_SCALES", define(names.scale_form)},
                  {"ISOTOPE_LINEAR_DEPTH", define(ring_depth(weight, form, card))}};
  if (weight.dtype == DType::f32) {
    unit.name = "linear_f32";
    unit.file = "ops/linear/linear_f32.cu";
    return {unit, "linear_f32"};
  }
  const bool operands = takes_operands(weight, form, card);
  unit.name = fmt::format("linear_decode<{}{},columns={}{}", names.dtype, names.scales,
                          form.columns, form.fused ? ",fused" : "");
  unit.defines.emplace_back("ISOTOPE_LINEAR_TILES", define(form.columns / card.mma_rows));
  if (operands) {
    const WgmmaCut cut = cut_of(weight, form, card);
    unit.name += fmt::format(",groups={},rows={}", cut.groups, cut.rows);
    unit.defines.emplace_back("ISOTOPE_LINEAR_GROUPS", define(cut.groups));
    unit.defines.emplace_back("ISOTOPE_LINEAR_ROWS", define(cut.rows));
    unit.defines.emplace_back("ISOTOPE_LINEAR_CLUSTER", define(cut.blocks));
    unit.defines.emplace_back("ISOTOPE_LINEAR_STAGES", define(cut.stages));
  } else {
    const std::int64_t blocks = resident_blocks(weight, form, card);
    if (blocks != usual_blocks(form, card)) unit.name += fmt::format(",blocks={}", blocks);
    unit.defines.emplace_back("ISOTOPE_LINEAR_FUSED", form.fused ? "1" : "0");
    unit.defines.emplace_back("ISOTOPE_LINEAR_BLOCKS", define(blocks));
  }
  if (const std::int64_t depth = ring_depth(weight, form, card);
      depth != usual_depth(weight, form, card))
    unit.name += fmt::format(",depth={}", depth);
  unit.name += ">";
  const std::string function = !form.wide() ? "linear_decode"
                               : operands   ? "linear_wide_wgmma"
                                            : "linear_wide";
  unit.file = "ops/linear/" + function + ".cu";
  return {unit, function};
}

bool is_aligned(const LinearCall& call) {
  const std::size_t size = size_of(call.x.dtype);
  return call.weight->k % 4 == 0 && call.x.row_stride % 4 == 0 &&
         std::uintptr_t(call.x.data) % (4 * size) == 0 && std::uintptr_t(call.norm) % 16 == 0;
}

LinearSource source_of(const LinearCall& call, std::int64_t begin, std::int64_t count) {
  LinearSource source{};
  source.x = call.x.data;
  if (call.row_index.empty())
    source.x = static_cast<const std::byte*>(call.x.data) +
               begin * call.x.row_stride * std::int64_t(size_of(call.x.dtype));
  else
    source.row_index = call.row_index.as<const std::int32_t>() + begin;
  source.norm = call.norm;
  source.stride = call.x.row_stride;
  source.bf16 = call.x.dtype == DType::bf16;
  source.aligned = is_aligned(call);
  source.rows = int(count);
  source.k = int(call.weight->k);
  source.padded_k = int(call.weight->padded_k);
  source.eps = call.norm_eps;
  return source;
}

device::Launch launch_of(std::int64_t x, std::int64_t y = 1, std::int64_t shared_bytes = 0) {
  device::Launch launch;
  launch.grid = {std::uint32_t(x), std::uint32_t(y), 1};
  launch.threads = kThreads;
  launch.shared_bytes = std::uint32_t(shared_bytes);
  launch.overlaps_predecessor = true;
  return launch;
}

LinearDecodeParams product_params(const LinearCall& call, const Card& card, std::int64_t begin,
                                  std::int64_t count) {
  const LinearWeight& weight = *call.weight;
  const bool swiglu = call.epilogue == Epilogue::swiglu;
  LinearDecodeParams params{};
  params.source = source_of(call, begin, count);
  params.weights = weight.data.data();
  params.scales =
      weight.scale_layout == ScaleLayout::none ? nullptr : weight.scales.as<const float>();
  params.y = static_cast<std::byte*>(call.y.data) +
             begin * call.y.row_stride * std::int64_t(size_of(call.y.dtype));
  params.y_stride = call.y.row_stride;
  params.n = int(swiglu ? weight.n / 2 : weight.n);
  params.k_tiles = int(k_tiles(weight));
  params.strips = int(ceil_div(weight.padded_n, kStripRows));
  params.groups = int(groups_of(weight, card));
  params.epilogue = int(call.epilogue);
  params.y_bf16 = call.y.dtype == DType::bf16;
  return params;
}

/// Prepares the inputs of the rows of `params` for all kernels but the fused ones.
void prepare(Context& context, const LinearCall& call, const Card& card, const Form& form,
             LinearDecodeParams& params) {
  const LinearWeight& weight = *call.weight;
  Workspace& workspace = context.workspace();
  const bool f32 = weight.dtype == DType::f32;
  const std::int64_t rows = f32 ? params.source.rows : form.columns * form.passes;
  const std::int64_t scales = rows * (card.amd ? k_tiles(weight) : 1);
  LinearInputsParams inputs{};
  inputs.source = params.source;
  inputs.out = workspace.take(std::size_t(rows * weight.padded_k * (f32 ? 4 : 2)));
  inputs.scales = static_cast<float*>(workspace.take(std::size_t(scales) * sizeof(float)));
  if (!f32 && form.wide() && params.groups > 1 && !takes_operands(weight, form, card)) {
    const std::int64_t tiles = weight.padded_n / kTileRows;
    inputs.num_counters = int(tiles * form.passes);
    inputs.counters =
        static_cast<unsigned*>(workspace.take(std::size_t(inputs.num_counters) * sizeof(unsigned)));
    params.partials = static_cast<float*>(
        workspace.take(std::size_t(tiles * params.groups * kTileRows * rows) * sizeof(float)));
  }
  params.inputs = inputs.out;
  params.input_scales = inputs.scales;
  params.counters = inputs.counters;
  context.kernels().launch(inputs_kernel(weight, takes_operands(weight, form, card)),
                           launch_of(rows), inputs);
}

device::Launch product_launch(const LinearCall& call, const Card& card, const Form& form,
                              const LinearDecodeParams& params) {
  const LinearWeight& weight = *call.weight;
  if (weight.dtype == DType::f32)
    return launch_of(ceil_div<std::int64_t>(params.strips, 8), ceil_div(params.source.rows, 8));
  if (takes_operands(weight, form, card)) {
    const WgmmaCut cut = cut_of(weight, form, card);
    device::Launch launch = launch_of(cut.grid, form.passes, cut.shared_bytes);
    launch.threads = kThreads + 128;
    return launch;
  }
  if (form.wide()) {
    const bool scales = card.amd && weight.dtype == DType::f8_e4m3;
    const std::int64_t stage =
        form.columns * (kTileBytes / std::int64_t(size_of(weight.dtype)) * 2 + (scales ? 4 : 0));
    return launch_of(
        params.strips * kStripRows / kTileRows * params.groups, form.passes,
        stage * (card.amd ? 2 : 3) + (form.columns == 128 ? kTileRows * form.columns * 4 : 0));
  }
  // Every block gets equally many strips.
  const std::int64_t shared = form.fused ? fused_shared_bytes(weight, card, params.source.rows) : 0;
  const std::int64_t sums = 2 * kParts * kStripRows * form.columns * std::int64_t(sizeof(float));
  const std::int64_t fitting = card.shared / (sums + shared + kReservedShared);
  const std::int64_t slots =
      card.multiprocessors *
      std::clamp<std::int64_t>(fitting, 1, resident_blocks(weight, form, card));
  const std::int64_t blocks =
      ceil_div<std::int64_t>(params.strips, ceil_div<std::int64_t>(params.strips, slots));
  return launch_of(blocks, 1, shared);
}

void multiply(Context& context, const LinearCall& call, const Card& card, const Form& form,
              std::int64_t begin, std::int64_t count) {
  const Workspace::Scope scope(context.workspace());
  LinearDecodeParams params = product_params(call, card, begin, count);
  if (!form.fused || call.weight->dtype == DType::f32) prepare(context, call, card, form, params);
  context.kernels().launch(product_kernel(*call.weight, form, card),
                           product_launch(call, card, form, params), params);
}

void check(const LinearCall& call, std::int64_t begin, std::int64_t count) {
  const LinearWeight& weight = *call.weight;
  const bool swiglu = call.epilogue == Epilogue::swiglu;
  if (weight.layout != WeightLayout::gpu_tile128 ||
      swiglu != (weight.row_order == RowOrder::interleaved_halves))
    fail(ErrorCode::internal, "linear_decode: a weight in another layout or order of rows");
  const std::int64_t outputs = swiglu ? weight.n / 2 : weight.n;
  const bool y_fits =
      call.y.dtype == DType::f32 || (call.y.dtype == DType::bf16 && call.epilogue != Epilogue::add);
  if (!y_fits || call.y.shape.rank() != 2 || call.y.shape[1] != outputs || begin < 0 || count < 0 ||
      begin + count > call.y.shape[0])
    fail(ErrorCode::internal, "linear_decode: y is {} {}, expected rows {} to {} of {}",
         name_of(call.y.dtype), call.y.shape.to_string(), begin, begin + count, outputs);
  if (call.x.shape.rank() != 2 || call.x.shape[1] < weight.k ||
      (call.x.dtype != DType::f32 && call.x.dtype != DType::bf16))
    fail(ErrorCode::internal, "linear_decode: x is {} {}, expected {} columns",
         name_of(call.x.dtype), call.x.shape.to_string(), weight.k);
}

}  // namespace

void linear_decode(Context& context, const LinearCall& call, std::int64_t begin,
                   std::int64_t count) {
  check(call, begin, count);
  const Card card(context.kernels());
  if (context.kernels().recording()) {
    // Fewer rows will come as well.
    for (std::int64_t rows = 1; rows < std::min(count, kMaxRows); rows *= 2)
      multiply(context, call, card, form_for(call, card, rows), begin, rows);
  }
  const std::int64_t end = begin + count;
  for (; begin < end; begin += kMaxRows) {
    const std::int64_t rows = std::min(kMaxRows, end - begin);
    multiply(context, call, card, form_for(call, card, rows), begin, rows);
  }
}

TuningSpace linear_decode_tuning(Context& context, const LinearCall& call, std::int64_t rows) {
  const LinearWeight& weight = *call.weight;
  const Card card(context.kernels());
  const Form form = form_for(call, card, rows);
  TuningSpace space{tuned_op(form), tuning_shape(weight, form.bucket), {}, {}};
  if (weight.dtype == DType::f32) return space;
  if (form.wide()) space.current = {{"groups", groups_of(weight, card)}};
  if (takes_operands(weight, form, card))
    space.current.emplace_back("tile_rows", cut_of(weight, form, card).rows);
  else
    space.current.insert(space.current.end(), {{"depth", ring_depth(weight, form, card)},
                                               {"blocks", resident_blocks(weight, form, card)}});
  const bool fusible = can_fuse(call, card, form.bucket);
  if (fusible) space.current.insert(space.current.begin(), {"fused", form.fused});
  const auto add = [&space](TuningValues values) { space.candidates.push_back(std::move(values)); };
  std::vector<std::int64_t> all_groups{0};  // 0: a form without groups
  if (form.wide()) all_groups = {1, 2, 4, 8};
  for (const std::int64_t groups : all_groups) {
    if (groups > 0 && !groups_fit(weight, card, groups)) continue;
    if (takes_operands(weight, form, card)) {
      add({{"groups", groups}, {"tile_rows", 128}});
      if (groups > 1) add({{"groups", groups}, {"tile_rows", 64}});
      continue;
    }
    for (const std::int64_t depth : {1, 2, 3, 4, 6}) {
      if (form.wide() && depth > 2) break;
      for (std::int64_t blocks = 1; blocks <= most_blocks(form, card, depth); ++blocks) {
        TuningValues values{{"depth", depth}, {"blocks", blocks}};
        if (groups > 0) values.insert(values.begin(), {"groups", groups});
        for (const std::int64_t fused : {0, 1}) {
          if (fusible) values.insert(values.begin(), {"fused", fused});
          add(values);
          if (!fusible) break;
          values.erase(values.begin());
        }
      }
    }
  }
  return space;
}

std::size_t linear_decode_scratch(std::int64_t rows, std::int64_t k) {
  // Inputs in FP32 at most, their scales, sums of split products with counters, and what aligning
  // them may cost.
  std::int64_t columns = kNarrowRows;
  while (columns < std::min(rows, kMaxRows)) columns *= 2;
  const std::int64_t padded_k = round_up<std::int64_t>(k, 128);
  std::int64_t bytes = columns * (padded_k * 4 + padded_k / 128 * 4) + 4 * 64;
  if (columns > kNarrowRows) bytes += kMaxSplitBlocks * (kTileRows * columns + 2) * 4;
  return std::size_t(bytes);
}

}  // namespace isotope::ops::gpu
