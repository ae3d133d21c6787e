#include "ops/sample/sample.h"

#include <algorithm>

#include "device/cpu/cpu_device.h"
#include "ops/sample/sample_forms.h"
#include "ops/sample/sample_gpu.h"

namespace isotope::ops {
namespace {

/// Rows that are sampled side by side, each with scratch of its own; enough for any CPU to be busy.
constexpr std::int64_t kRowsAtOnce = 16;

template <typename T>
std::span<const T> range(const TensorView& tensor, std::int32_t begin, std::int32_t end) {
  if (begin == end) return {};
  ISOTOPE_ASSERT(begin >= 0 && begin <= end && end <= tensor.shape[0]);
  return {tensor.as<const T>() + begin, std::size_t(end - begin)};
}

RowInput row_input(const TensorView& logits, const SampleBatch& batch, std::int64_t m) {
  RowInput row;
  row.params = static_cast<const SamplingRow*>(batch.rows.data)[m];
  row.logits = {logits.row<float>(m), std::size_t(logits.shape[1])};
  const SamplingRow& params = row.params;
  ISOTOPE_ASSERT(params.forced_token < logits.shape[1]);
  ISOTOPE_ASSERT(params.num_top_logprobs <= kMaxTopLogprobs);
  row.prompt = range<TokenId>(batch.history, params.prompt_begin, params.prompt_end);
  row.output = range<TokenId>(batch.history, params.output_begin, params.output_end);
  row.bias_ids = range<TokenId>(batch.bias_ids, params.bias_begin, params.bias_end);
  row.bias_values = range<float>(batch.bias_values, params.bias_begin, params.bias_end);
  if (params.mask >= 0) {
    ISOTOPE_ASSERT(params.mask < batch.masks.shape[0]);
    ISOTOPE_ASSERT(32 * batch.masks.shape[1] >= logits.shape[1]);
    row.mask = {reinterpret_cast<const std::uint32_t*>(batch.masks.row<std::int32_t>(params.mask)),
                std::size_t(batch.masks.shape[1])};
  }
  row.vocab_limit = std::clamp<std::int64_t>(batch.vocab_limit, 0, logits.shape[1]);
  return row;
}

RowResult row_result(const SampleResult& result, const SamplingRow& params, std::int64_t m) {
  RowResult row{result.tokens.as<TokenId>() + m, nullptr, nullptr, nullptr, nullptr};
  if (params.num_top_logprobs < 0) return row;
  row.logprob = result.logprobs.as<float>() + m;
  row.rank = result.ranks.as<std::int32_t>() + m;
  row.top_ids = result.top_ids.row<TokenId>(m);
  row.top_logprobs = result.top_logprobs.row<float>(m);
  return row;
}

void check(const TensorView& logits, const SampleBatch& batch, const SampleResult& result) {
  ISOTOPE_ASSERT(logits.dtype == DType::f32 && logits.shape.rank() == 2);
  ISOTOPE_ASSERT(logits.shape[1] > 0 &&
                 logits.shape[1] <= std::numeric_limits<std::int32_t>::max());
  ISOTOPE_ASSERT(batch.rows.bytes() == logits.shape[0] * std::int64_t(sizeof(SamplingRow)));
  ISOTOPE_ASSERT(result.tokens.shape[0] >= logits.shape[0]);
}

const SampleKernel& kernel_for(device::Isa isa) {
  return isa >= device::Isa::avx512 ? sample_kernel_avx512() : sample_kernel_avx2();
}

}  // namespace

void sample(Context& context, const TensorView& logits, const SampleBatch& batch,
            const SampleResult& result) {
  const std::int64_t rows = logits.shape[0];
  if (rows == 0) return;
  check(logits, batch, result);
  if (context.on_gpu()) return gpu::sample_gpu(context, logits, batch, result);
  auto& cpu = static_cast<device::CpuDevice&>(context.device());
  const Workspace::Scope scope(context.workspace());
  const std::size_t row_bytes = sample_row_scratch(logits.shape[1]);
  const std::int64_t lanes = std::min(rows, kRowsAtOnce);
  std::byte* scratch =
      static_cast<std::byte*>(context.workspace().take(row_bytes * std::size_t(lanes)));
  cpu.pool().parallel_for(lanes, [&](std::int64_t lane, int) {
    for (std::int64_t m = lane; m < rows; m += lanes) {
      const RowInput input = row_input(logits, batch, m);
      const RowResult output = row_result(result, input.params, m);
      if (context.path() == Path::oracle)
        sample_row_oracle(input, output);
      else
        sample_row_cpu(kernel_for(cpu.isa()), input, output,
                       scratch + row_bytes * std::size_t(lane));
    }
  });
}

std::size_t sample_scratch(std::int64_t rows, std::int64_t vocab) {
  const std::size_t cpu = sample_row_scratch(vocab) * std::size_t(std::min(rows, kRowsAtOnce));
  return std::max(cpu, gpu::sample_gpu_scratch(rows, vocab));
}

}  // namespace isotope::ops
