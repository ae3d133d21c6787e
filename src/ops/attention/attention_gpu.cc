#include "ops/attention/attention_gpu.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/checked.h"
#include "ops/attention/attention_params.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops::gpu {
namespace {

using isotope::gpu::AttentionParams;

AttentionParams params_of(const TensorView& q, const KvLayer& kv, std::int64_t block_size,
                          const Batch& batch, const TensorView& out) {
  AttentionParams params{};
  params.q = q.data;
  params.out = out.data;
  params.k = kv.k.data;
  params.v = kv.v.data;
  params.k_scale = kv.k_scale.empty() ? nullptr : kv.k_scale.as<const float>();
  params.v_scale = kv.v_scale.empty() ? nullptr : kv.v_scale.as<const float>();
  params.positions = batch.positions.as<const std::int32_t>();
  params.row_seq = batch.row_seq.as<const std::int32_t>();
  params.seq_begin = batch.seq_begin.as<const std::int32_t>();
  params.context_lens = batch.context_lens.as<const std::int32_t>();
  params.block_tables = batch.block_tables.as<const std::int32_t>();
  params.q_stride = q.row_stride;
  params.out_stride = out.row_stride;
  params.table_stride = batch.block_tables.row_stride;
  params.num_seqs = int(batch.num_seqs);
  params.heads = int(q.shape[1]);
  params.kv_heads = int(kv.k.shape[1]);
  params.head_dim = int(q.shape[2]);
  params.block_size = int(block_size);
  const auto size = std::uint64_t(block_size);
  params.block_shift = std::has_single_bit(size) ? std::countr_zero(size) : -1;
  params.scale = float(1.4426950408889634 / std::sqrt(double(params.head_dim)));
  return params;
}

/// One step's attention: what the launches have in common.
struct Step {
  Context& context;
  AttentionParams params;
  bool f32, fp8;

  std::pair<std::string, std::string> cache_define() const {
    return {"ISOTOPE_ATTENTION_FP8", fp8 ? "1" : "0"};
  }
  std::string_view cache_name() const { return fp8 ? "fp8" : "bf16"; }
  void launch(jit::Unit unit, const char* function, std::array<std::uint32_t, 3> grid,
              std::uint32_t threads, std::uint32_t shared_bytes = 0) const {
    unit.defines.push_back(cache_define());
    device::Launch launch;
    launch.grid = grid;
    launch.threads = threads;
    launch.shared_bytes = shared_bytes;
    launch.overlaps_predecessor = true;
    context.kernels().launch({std::move(unit), function}, launch, params);
  }
};

void plain(Step step, std::int64_t begin, std::int64_t end) {
  if (begin == end) return;
  step.params.first_row = int(begin);
  step.params.end_row = int(end);
  jit::Unit unit;
  unit.name =
      fmt::format("attention_plain<{},kv={}>", step.f32 ? "f32" : "bf16", step.cache_name());
  unit.file = "ops/attention/attention_plain.cu";
  unit.defines = {{"ISOTOPE_ATTENTION_F32", step.f32 ? "1" : "0"}};
  step.launch(std::move(unit), "attention_plain",
              {std::uint32_t(end - begin), std::uint32_t(step.params.heads), 1}, 128);
}

/// Whether the rows of a tensor begin at multiples of `bytes`.
bool aligned(const TensorView& tensor, std::int64_t bytes) {
  return std::intptr_t(tensor.data) % bytes == 0 &&
         tensor.row_stride * std::int64_t(size_of(tensor.dtype)) % bytes == 0;
}

/// Whether the kernels on matrix units take these shapes.
bool suits_matrix_units(const TensorView& q, const KvLayer& kv, const TensorView& out) {
  const std::int64_t dim = q.shape[2], kv_heads = kv.k.shape[1];
  return q.dtype == DType::bf16 && (dim == 64 || dim == 128) &&
         q.shape[1] / kv_heads <= isotope::gpu::kMaxDecodeGroup &&
         kv_heads <= isotope::gpu::kMaxDecodeKvHeads && aligned(q, 16) && aligned(out, 16);
}

std::int64_t partial_floats(std::int64_t rows, std::int64_t heads, std::int64_t dim) {
  return std::min<std::int64_t>(rows, isotope::gpu::kDecodePass) * heads *
         isotope::gpu::kMaxSplits * (dim + 2);
}

TuningShape tuning_shape(const KvLayer& kv, std::int64_t rows) {
  return {kv.k.dtype, kv.k.shape[1], kv.k.shape[2], decode_bucket(rows)};
}

/// Of a row and KV head.
constexpr std::int64_t kFewestSplitBlocks = 4;

/// Enough blocks for a large card; where rows alone are nearly enough, a block takes several splits
/// one after the other.
int split_blocks(const Tuning& tuning, const KvLayer& kv, std::int64_t rows) {
  constexpr std::int64_t kEnough = 1024;
  const std::int64_t blocks =
      tuning.value("attention_decode", tuning_shape(kv, rows), "blocks", kEnough);
  const std::int64_t wanted = std::max<std::int64_t>(1, blocks / (rows * kv.k.shape[1]));
  return int(std::clamp<std::int64_t>(std::int64_t(std::bit_floor(std::uint64_t(wanted))),
                                      kFewestSplitBlocks, isotope::gpu::kMaxSplits));
}

jit::Unit matrix_unit(const Step& step, const char* kernel) {
  const AttentionParams& p = step.params;
  const int group = p.heads / p.kv_heads;
  const bool whole = p.block_shift >= 4;
  jit::Unit unit;
  unit.name = fmt::format("{}<d={},group={},kv={}{}>", kernel, p.head_dim, group, step.cache_name(),
                          whole ? "" : ",small blocks");
  unit.file = fmt::format("ops/attention/{}.cu", kernel);
  unit.defines = {{"ISOTOPE_ATTENTION_DIM", std::to_string(p.head_dim)},
                  {"ISOTOPE_ATTENTION_GROUP", std::to_string(group)},
                  {"ISOTOPE_ATTENTION_WHOLE", whole ? "1" : "0"}};
  return unit;
}

void decode(Step step, const KvLayer& kv, std::int64_t rows) {
  if (rows == 0) return;
  AttentionParams& p = step.params;
  const Workspace::Scope scope(step.context.workspace());
  p.partials = step.context.workspace()
                   .take(DType::f32, Shape{partial_floats(rows, p.heads, p.head_dim)})
                   .as<float>();
  for (std::int64_t begin = 0; begin < rows; begin += isotope::gpu::kDecodePass) {
    const std::int64_t count = std::min<std::int64_t>(isotope::gpu::kDecodePass, rows - begin);
    p.first_row = int(begin);
    p.end_row = int(begin + count);
    p.split_blocks = split_blocks(step.context.kernels().tuning(), kv, count);
    step.launch(matrix_unit(step, "attention_decode"), "attention_decode",
                {std::uint32_t(count), std::uint32_t(p.kv_heads), std::uint32_t(p.split_blocks)},
                128);
  }
}

void prefill(Step step, std::int64_t begin, std::int64_t end) {
  if (begin == end) return;
  AttentionParams& p = step.params;
  p.first_row = int(begin);
  p.end_row = int(end);
  // Every sequence may leave one tile that is not full.
  const std::int64_t tile_rows = isotope::gpu::kPrefillQueries / (p.heads / p.kv_heads);
  const std::int64_t tiles =
      ceil_div(end - begin, tile_rows) + std::min<std::int64_t>(p.num_seqs, end - begin);
  const bool amd = step.context.kernels().properties().arch.starts_with("gfx");
  step.launch(matrix_unit(step, "attention_prefill"), "attention_prefill",
              {std::uint32_t(tiles), std::uint32_t(p.kv_heads), 1},
              amd ? isotope::gpu::kPrefillThreadsGfx12 : isotope::gpu::prefill_threads_sm(step.fp8),
              amd ? isotope::gpu::prefill_shared_gfx12(p.head_dim, step.fp8)
                  : isotope::gpu::prefill_shared_sm(p.head_dim, step.fp8));
}

}  // namespace

void attention_gpu(Context& context, const TensorView& q, const KvLayer& kv,
                   std::int64_t block_size, const Batch& batch, const TensorView& out) {
  const Step step{context, params_of(q, kv, block_size, batch, out), q.dtype == DType::f32,
                  kv.k.dtype == DType::f8_e4m3};
  if (q.shape[2] > kMaxAttentionHeadDim)
    fail(ErrorCode::unsupported, "attention: heads of {} are more than a GPU's {}", q.shape[2],
         kMaxAttentionHeadDim);
  if (!suits_matrix_units(q, kv, out)) return plain(step, 0, batch.rows.total);
  decode(step, kv, batch.rows.decode);
  prefill(step, batch.rows.decode, batch.rows.total);
}

TuningSpace attention_decode_tuning(Context& context, const TensorView& q, const KvLayer& kv,
                                    const TensorView& out) {
  const std::int64_t rows = q.shape[0], pairs = rows * kv.k.shape[1];
  TuningSpace space{"attention_decode", tuning_shape(kv, rows), {}, {}};
  if (!suits_matrix_units(q, kv, out)) return space;
  space.current = {{"blocks", pairs * split_blocks(context.kernels().tuning(), kv, rows)}};
  for (std::int64_t blocks = kFewestSplitBlocks; blocks <= isotope::gpu::kMaxSplits; blocks *= 2)
    space.candidates.push_back({{"blocks", pairs * blocks}});
  return space;
}

std::size_t attention_scratch(std::int64_t rows, std::int64_t heads, std::int64_t head_dim) {
  return std::size_t(partial_floats(rows, heads, head_dim)) * sizeof(float);
}

}  // namespace isotope::ops::gpu
