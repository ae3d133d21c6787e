// Prefill on a GPU: the inputs are laid out in tiles, then one product kernel multiplies. Which
// kernels run depends on shapes; how large their tiles are also on the number of rows, which
// changes no bits.
#include <algorithm>
#include <array>
#include <limits>

#include "base/checked.h"
#include "base/error.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_gpu.h"
#include "ops/linear/linear_prefill_gpu.h"
#include "ops/linear/linear_prefill_params.h"

namespace isotope::ops::gpu {
namespace {

using isotope::gpu::PrefillInputsParams;
using isotope::gpu::PrefillParams;

constexpr std::int64_t kTileRows = 128, kTileBytes = 128;
/// Rows laid out at a time. More would need more scratch and gain nothing: weights are hidden
/// behind products long before.
constexpr std::int64_t kMaxRows = 2048;
/// What linear_decode takes at once.
constexpr std::int64_t kMaxDecodeRows = 128;

/// A layer's product as kernels see it.
struct Product {
  const LinearWeight* weight;
  bool fp8;
  int terms;
  isotope::gpu::PrefillScales scales;
  std::int64_t k_blocks;  ///< of 128 bytes

  explicit Product(const LinearWeight& w) : weight(&w), fp8(w.dtype == DType::f8_e4m3) {
    terms = fp8 && w.k < kPrefillOneTermK ? 2 : 1;
    const bool blocks = w.scale_layout == ScaleLayout::block_128x128;
    scales = !blocks                ? isotope::gpu::prefill_scales_end
             : w.scales_per_feature ? isotope::gpu::prefill_scales_feature
                                    : isotope::gpu::prefill_scales_block;
    k_blocks = w.padded_k * std::int64_t(size_of(w.dtype)) / kTileBytes;
  }
};

constexpr double kNever = std::numeric_limits<double>::infinity();

/// How the rows and features of a product are cut; `function` of `unit` does one piece a block.
struct Tiling {
  std::string file, function;
  std::int64_t rows = 128, features = 128;
  std::int64_t cluster = 1;  ///< neighbouring row tiles that are done together
  std::uint32_t threads = 256;
  bool persistent = false;  ///< blocks take tiles until none is left, instead of one each
  /// Time of a tile, one of 128 × 128 being 1; infinite: only for measurements.
  double cost = 1;
  std::uint32_t shared_bytes = 0;
  std::vector<std::pair<std::string, std::string>> defines;
};

std::vector<Tiling> portable_tilings(const Product& product, device::Kind kind) {
  // kBuffers of linear_prefill.cu
  const std::int64_t buffers = kind == device::Kind::cuda ? 3 : 2;
  std::vector<Tiling> tilings;
  for (const std::int64_t rows : {128, 64}) {
    const std::int64_t stage =
        64 * (rows * product.terms + 128) + (product.fp8 ? (rows + 128) * 4 : 0);
    Tiling& tiling = tilings.emplace_back();
    tiling.file = "ops/linear/linear_prefill.cu";
    tiling.function = fmt::format("linear_prefill_{}", rows);
    tiling.rows = rows;
    tiling.cost = rows == 128 ? 1.0 : 0.6;
    tiling.shared_bytes = std::uint32_t(buffers * stage);
  }
  return tilings;
}

/// What a stage takes in shared memory; as linear_prefill_wgmma.cu counts it.
std::int64_t wgmma_stage(const Product& product, std::int64_t rows, std::int64_t features) {
  const std::int64_t weight_scales =
      product.scales == isotope::gpu::prefill_scales_block     ? features / 8
      : product.scales == isotope::gpu::prefill_scales_feature ? features
                                                               : 0;
  return 128 * (rows * product.terms + features) + (product.fp8 ? (rows + weight_scales) * 4 : 0) +
         16;
}

/// A tiling for sm_90a, with as many stages as fit.
Tiling wgmma_tiling(const device::GpuProperties& properties, const Product& product,
                    std::int64_t rows, std::int64_t features, std::int64_t cluster, double cost) {
  const std::int64_t stage = wgmma_stage(product, rows, features);
  const std::int64_t stages =
      std::clamp<std::int64_t>(std::int64_t(properties.shared_per_block) / stage, 2, 12);
  Tiling tiling;
  tiling.file = "ops/linear/linear_prefill_wgmma.cu";
  tiling.function = "linear_prefill_wgmma";
  tiling.rows = rows;
  tiling.features = features;
  tiling.cluster = cluster;
  tiling.threads = std::uint32_t((rows / 64 + 1) * 128);
  tiling.persistent = true;
  tiling.cost = cost;
  tiling.shared_bytes = std::uint32_t(stages * stage);
  tiling.defines = {{"PREFILL_ROWS", std::to_string(rows)},
                    {"PREFILL_FEATURES", std::to_string(features)},
                    {"PREFILL_CLUSTER", std::to_string(cluster)},
                    {"PREFILL_STAGES", std::to_string(stages)}};
  return tiling;
}

/// Costs: small tiles copy more bytes for a product, and few sums for each instruction.
std::vector<Tiling> wgmma_tilings(const device::GpuProperties& properties, const Product& product) {
  std::vector<Tiling> tilings;
  // Scales of single features take registers that the largest tile does not have.
  if (product.scales != isotope::gpu::prefill_scales_feature)
    tilings.push_back(wgmma_tiling(properties, product, 128, 256, 1, 2.0));
  tilings.push_back(wgmma_tiling(properties, product, 128, 128, 1, 1.2));
  tilings.push_back(wgmma_tiling(properties, product, 64, 64, 1, 0.5));
  if (product.scales != isotope::gpu::prefill_scales_feature)
    tilings.push_back(wgmma_tiling(properties, product, 128, 256, 2, kNever));
  return tilings;
}

std::vector<Tiling> tilings_of(const Context& context, const Product& product) {
  const device::GpuProperties& properties = context.kernels().properties();
  return properties.arch == "sm_90a" ? wgmma_tilings(properties, product)
                                     : portable_tilings(product, context.device().kind());
}

std::int64_t tiles_of(const Tiling& tiling, const Product& product, std::int64_t rows) {
  return round_up(ceil_div(rows, tiling.rows), tiling.cluster) *
         ceil_div(product.weight->padded_n, tiling.features);
}

/// The tiling that should be done soonest: waves of tiles over the multiprocessors.
const Tiling& best_tiling(const std::vector<Tiling>& tilings, const Product& product,
                          std::int64_t rows, std::int64_t multiprocessors) {
  const auto time = [&](const Tiling& tiling) {
    return double(ceil_div(tiles_of(tiling, product, rows), multiprocessors)) * tiling.cost;
  };
  return *std::min_element(tilings.begin(), tilings.end(),
                           [&](const Tiling& a, const Tiling& b) { return time(a) < time(b); });
}

TuningShape tuning_shape(const Product& product, std::int64_t rows) {
  const LinearWeight& weight = *product.weight;
  return {weight.dtype, weight.n, weight.k, prefill_bucket(rows)};
}

/// The tiling that the tuning table names for so many rows; null without one that there is.
const Tiling* tuned_tiling(const Tuning& tuning, const std::vector<Tiling>& tilings,
                           const Product& product, std::int64_t rows) {
  const TuningShape shape = tuning_shape(product, rows);
  const std::int64_t tile_rows = tuning.value("linear_prefill", shape, "tile_rows", 0);
  if (tile_rows == 0) return nullptr;
  const std::int64_t features = tuning.value("linear_prefill", shape, "tile_features", 128);
  const std::int64_t cluster = tuning.value("linear_prefill", shape, "cluster", 1);
  for (const Tiling& tiling : tilings)
    if (tiling.rows == tile_rows && tiling.features == features && tiling.cluster == cluster)
      return &tiling;
  return nullptr;
}

const Tiling& usual_or_tuned(const KernelLibrary& kernels, const std::vector<Tiling>& tilings,
                             const Product& product, std::int64_t rows) {
  if (const Tiling* tuned = tuned_tiling(kernels.tuning(), tilings, product, rows)) return *tuned;
  return best_tiling(tilings, product, rows,
                     std::max<std::int64_t>(1, kernels.properties().multiprocessors));
}

bool aligned(const void* data, std::int64_t stride_bytes) {
  return std::uintptr_t(data) % 16 == 0 && stride_bytes % 16 == 0;
}

/// Scratch of up to kMaxRows rows: the operand in tiles, then FP8's scales.
struct Operand {
  std::byte* data;
  float* scales;
  std::int64_t padded_rows, term_bytes;
};

Operand take_operand(Workspace& workspace, const Product& product, std::int64_t rows) {
  Operand operand{};
  operand.padded_rows = round_up(rows, kTileRows);
  operand.term_bytes = operand.padded_rows * product.k_blocks * kTileBytes;
  operand.data =
      static_cast<std::byte*>(workspace.take(std::size_t(operand.term_bytes * product.terms)));
  if (product.fp8)
    operand.scales = static_cast<float*>(
        workspace.take(std::size_t(operand.padded_rows * product.k_blocks) * sizeof(float)));
  return operand;
}

void prepare(Context& context, const LinearCall& call, const Product& product,
             const Operand& operand, std::int64_t begin, std::int64_t count) {
  PrefillInputsParams params{};
  params.x = call.x.data;
  params.row_index = call.row_index.empty() ? nullptr : call.row_index.as<const std::int32_t>();
  params.norm = call.norm;
  params.out = operand.data;
  params.scales = operand.scales;
  params.x_stride = call.x.row_stride;
  params.begin = begin;
  params.k = product.weight->k;
  params.padded_k = product.weight->padded_k;
  params.term_bytes = operand.term_bytes;
  params.scale_stride = operand.padded_rows;
  params.eps = call.norm_eps;
  params.x_is_f32 = call.x.dtype == DType::f32;
  params.vectors = aligned(call.x.data, call.x.row_stride * std::int64_t(size_of(call.x.dtype))) &&
                   aligned(call.norm, 0);

  jit::Unit unit;
  unit.name = "prefill_inputs";
  unit.file = "ops/linear/linear_prefill_inputs.cu";
  device::Launch launch;
  launch.grid = {std::uint32_t(count), 1, 1};
  launch.threads = 128;
  launch.overlaps_predecessor = true;
  const char* const function = !product.fp8         ? "prefill_inputs_bf16"
                               : product.terms == 1 ? "prefill_inputs_fp8"
                                                    : "prefill_inputs_fp8x2";
  context.kernels().launch({unit, function}, launch, params);
}

jit::Unit unit_of(const Product& product, const Tiling& tiling) {
  static constexpr const char* kScaleNames[] = {"", ",block", ",feature"};
  jit::Unit unit;
  unit.name = fmt::format("linear_prefill<{}{}{}", product.fp8 ? "fp8" : "bf16",
                          kScaleNames[product.scales], product.terms == 2 ? ",terms=2" : "");
  for (const auto& [name, value] : tiling.defines) unit.name += "," + value;
  unit.name += ">";
  unit.file = tiling.file;
  unit.defines = {{"PREFILL_FP8", product.fp8 ? "1" : "0"},
                  {"PREFILL_TERMS", std::to_string(product.terms)},
                  {"PREFILL_SCALES", std::to_string(int(product.scales))}};
  unit.defines.insert(unit.defines.end(), tiling.defines.begin(), tiling.defines.end());
  return unit;
}

void multiply(Context& context, const LinearCall& call, const Product& product,
              const Operand& operand, std::int64_t begin, std::int64_t count, int forced) {
  const LinearWeight& weight = *product.weight;
  const TensorView& y = call.y;
  const auto size = std::int64_t(size_of(y.dtype));
  PrefillParams params{};
  params.a = operand.data;
  params.a_scales = operand.scales;
  params.w = weight.data.data();
  params.w_scales =
      weight.scale_layout == ScaleLayout::none ? nullptr : weight.scales.as<const float>();
  params.y = static_cast<std::byte*>(y.data) + begin * y.row_stride * size;
  params.a_term_bytes = operand.term_bytes;
  params.a_scale_stride = operand.padded_rows;
  params.y_stride = y.row_stride;
  params.rows = int(count);
  params.outputs = int(y.shape[1]);
  params.w_tiles = int(weight.padded_n / kTileRows);
  params.k_blocks = int(product.k_blocks);
  params.epilogue = call.epilogue == Epilogue::store ? isotope::gpu::prefill_store
                    : call.epilogue == Epilogue::add ? isotope::gpu::prefill_add
                                                     : isotope::gpu::prefill_swiglu;
  params.y_is_f32 = y.dtype == DType::f32;
  params.vectors = aligned(params.y, y.row_stride * size) && params.outputs % 8 == 0;

  KernelLibrary& kernels = context.kernels();
  const auto multiprocessors = std::max<std::int64_t>(1, kernels.properties().multiprocessors);
  const auto launch = [&](const Tiling& tiling) {
    const std::int64_t tiles = tiles_of(tiling, product, count);
    device::Launch shape;
    shape.grid[0] = std::uint32_t(
        tiling.persistent ? std::min(tiles, multiprocessors / tiling.cluster * tiling.cluster)
                          : tiles);
    shape.threads = tiling.threads;
    shape.shared_bytes = tiling.shared_bytes;
    shape.overlaps_predecessor = true;
    kernels.launch({unit_of(product, tiling), tiling.function}, shape, params);
  };
  const std::vector<Tiling> tilings = tilings_of(context, product);
  if (forced >= 0) return launch(tilings.at(std::size_t(forced)));
  if (!kernels.recording()) return launch(usual_or_tuned(kernels, tilings, product, count));
  // Other numbers of rows will come.
  for (const Tiling& tiling : tilings)
    if (tiling.cost < kNever) launch(tiling);
  for (std::int64_t rows = 1; rows <= kMaxRows; rows = prefill_bucket(rows) + 1)
    if (const Tiling* tuned = tuned_tiling(kernels.tuning(), tilings, product, rows))
      launch(*tuned);
}

void check(const LinearCall& call, std::int64_t begin, std::int64_t count) {
  const LinearWeight& weight = *call.weight;
  const bool swiglu = call.epilogue == Epilogue::swiglu;
  const std::int64_t outputs = swiglu ? weight.n / 2 : weight.n;
  if (weight.layout != WeightLayout::gpu_tile128 ||
      swiglu != (weight.row_order == RowOrder::interleaved_halves))
    fail(ErrorCode::internal, "linear_prefill: a weight in another layout or order of rows");
  if (call.y.shape.rank() != 2 || call.y.shape[1] != outputs || begin < 0 || count < 0 ||
      begin + count > call.y.shape[0])
    fail(ErrorCode::internal, "linear_prefill: y is {}, expected rows {} to {} of {}",
         call.y.shape.to_string(), begin, begin + count, outputs);
  if (call.epilogue == Epilogue::add && call.y.dtype != DType::f32)
    fail(ErrorCode::internal, "linear_prefill: y is {}, but only f32 can be added to",
         name_of(call.y.dtype));
  if (call.x.shape.rank() != 2 || call.x.shape[1] < weight.k)
    fail(ErrorCode::internal, "linear_prefill: x is {}, expected {} columns",
         call.x.shape.to_string(), weight.k);
}

/// `forced`: the tiling, or -1 for the best.
void run(Context& context, const LinearCall& call, std::int64_t begin, std::int64_t count,
         int forced) {
  check(call, begin, count);
  const Product product(*call.weight);
  for (const std::int64_t end = begin + count; begin < end; begin += kMaxRows) {
    const std::int64_t rows = std::min(kMaxRows, end - begin);
    const Workspace::Scope scope(context.workspace());
    const Operand operand = take_operand(context.workspace(), product, rows);
    prepare(context, call, product, operand, begin, rows);
    multiply(context, call, product, operand, begin, rows, forced);
  }
}

}  // namespace

void linear_prefill(Context& context, const LinearCall& call, std::int64_t begin,
                    std::int64_t count) {
  if (call.weight->dtype != DType::f32) return run(context, call, begin, count, -1);
  for (const std::int64_t end = begin + count; begin < end; begin += kMaxDecodeRows)
    linear_decode(context, call, begin, std::min(kMaxDecodeRows, end - begin));
}

std::vector<std::string> prefill_tilings(Context& context, const LinearWeight& weight) {
  std::vector<std::string> names;
  for (const Tiling& tiling : tilings_of(context, Product(weight)))
    names.push_back(fmt::format("{}x{}{}", tiling.rows, tiling.features,
                                tiling.cluster > 1 ? fmt::format(" by {}", tiling.cluster) : ""));
  return names;
}

TuningSpace linear_prefill_tuning(Context& context, const LinearWeight& weight, std::int64_t rows) {
  const Product product(weight);
  TuningSpace space{"linear_prefill", tuning_shape(product, rows), {}, {}};
  if (weight.dtype == DType::f32) return space;
  const auto values = [](const Tiling& tiling) {
    return TuningValues{{"tile_rows", tiling.rows},
                        {"tile_features", tiling.features},
                        {"cluster", tiling.cluster}};
  };
  const std::vector<Tiling> tilings = tilings_of(context, product);
  const KernelLibrary& kernels = context.kernels();
  space.current = values(usual_or_tuned(kernels, tilings, product, rows));
  for (const Tiling& tiling : tilings) space.candidates.push_back(values(tiling));
  return space;
}

void linear_prefill_inputs(Context& context, const LinearCall& call, std::int64_t begin,
                           std::int64_t count) {
  check(call, begin, count);
  const Product product(*call.weight);
  const Workspace::Scope scope(context.workspace());
  const std::int64_t rows = std::min(kMaxRows, count);
  prepare(context, call, product, take_operand(context.workspace(), product, rows), begin, rows);
}

void linear_prefill_tiled(Context& context, const LinearCall& call, std::int64_t begin,
                          std::int64_t count, int tiling) {
  run(context, call, begin, count, tiling);
}

std::size_t linear_prefill_scratch(std::int64_t rows, std::int64_t k) {
  // Two bytes a value, whether BF16 or two terms of FP8, with scales; and what aligning them may
  // cost.
  const std::int64_t padded_rows = round_up(std::min(rows, kMaxRows), kTileRows);
  const std::size_t tiles =
      std::size_t(padded_rows * round_up(k, std::int64_t(128))) * 2 +
      std::size_t(padded_rows * ceil_div(k, std::int64_t(128))) * sizeof(float) + 256;
  return std::max(tiles, linear_decode_scratch(std::min(rows, kMaxDecodeRows), k));
}

}  // namespace isotope::ops::gpu
