#include "ops/sample/sample_gpu.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "base/checked.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops::gpu {
namespace {

// NVRTC's layout of the struct is the host's; it has no offsetof to say so itself.
static_assert(offsetof(SamplingRow, forced_token) == 32);
static_assert(offsetof(SamplingRow, mask) == 36);
static_assert(offsetof(SamplingRow, seed) == 40);
static_assert(offsetof(SamplingRow, prompt_begin) == 56);

using namespace isotope::gpu;

static_assert(kSampleTop == kMaxTopLogprobs);

/// Rows that have penalties, biases or masks and ask for logprobs at once keep a copy of their
/// logits. More such rows take turns.
constexpr std::int64_t kCopies = 16;

constexpr std::size_t kAlignment = 64;  // of what a workspace gives

struct Sizes {
  std::int64_t slices, found, copies;

  Sizes(std::int64_t rows, std::int64_t vocab)
      : slices(ceil_div(vocab, std::int64_t(kSampleSlice))),
        found(rows * slices),
        copies(std::min(rows, kCopies)) {}
};

template <typename T>
T* take(Workspace& workspace, std::int64_t count) {
  return static_cast<T*>(workspace.take(std::size_t(count) * sizeof(T)));
}

void take_scratch(SampleParams& params, Workspace& workspace, std::int64_t rows,
                  std::int64_t vocab) {
  const Sizes sizes(rows, vocab);
  params.slices = int(sizes.slices);
  params.num_copies = int(sizes.copies);
  params.slice_best = take<unsigned long long>(workspace, sizes.found);
  params.slice_keys = take<unsigned>(workspace, sizes.found);
  params.slice_sums = take<float>(workspace, sizes.found);
  params.slice_winners = take<int>(workspace, sizes.found);
  params.copies = take<float>(workspace, sizes.copies * vocab);
}

void set_batch(SampleParams& params, const SampleBatch& batch, std::int64_t vocab) {
  const auto count = [](const TensorView& tensor) {
    return tensor.empty() ? 0 : int(tensor.shape.elements());
  };
  params.rows = static_cast<const SamplingRow*>(batch.rows.data);
  params.history_size = count(batch.history);
  params.bias_size = std::min(count(batch.bias_ids), count(batch.bias_values));
  if (params.history_size > 0) params.history = batch.history.as<const TokenId>();
  if (params.bias_size > 0) {
    params.bias_ids = batch.bias_ids.as<const TokenId>();
    params.bias_values = batch.bias_values.as<const float>();
  }
  if (!batch.masks.empty()) {
    ISOTOPE_ASSERT(32 * batch.masks.shape[1] >= vocab);
    params.masks = reinterpret_cast<const std::uint32_t*>(batch.masks.as<std::int32_t>());
    params.num_masks = int(batch.masks.shape[0]);
    params.mask_words = int(batch.masks.shape[1]);
  }
  params.limit = int(std::clamp<std::int64_t>(batch.vocab_limit, 0, vocab));
}

void set_result(SampleParams& params, const SampleResult& result) {
  params.tokens = result.tokens.as<TokenId>();
  params.logprobs = result.logprobs.as<float>();
  params.ranks = result.ranks.as<std::int32_t>();
  params.top_ids = result.top_ids.as<TokenId>();
  params.top_logprobs = result.top_logprobs.as<float>();
  params.top_ids_stride = result.top_ids.row_stride;
  params.top_logprobs_stride = result.top_logprobs.row_stride;
}

void launch(Context& context, const char* function, std::int64_t x, std::int64_t y, int threads,
            const SampleParams& params) {
  device::Launch launch;
  launch.grid = {std::uint32_t(x), std::uint32_t(y), 1};
  launch.threads = std::uint32_t(threads);
  launch.overlaps_predecessor = true;
  context.kernels().launch({{"sample", "ops/sample/sample.cu", {}}, function}, launch, params);
}

}  // namespace

void sample_gpu(Context& context, const TensorView& logits, const SampleBatch& batch,
                const SampleResult& result) {
  const std::int64_t rows = logits.shape[0], vocab = logits.shape[1];
  if (vocab > std::int64_t(kSampleSlice) * kSampleMaxSlices)
    fail(ErrorCode::unsupported, "sample: {} tokens are more than a GPU's {}", vocab,
         kSampleSlice * kSampleMaxSlices);
  const Workspace::Scope scope(context.workspace());
  SampleParams params{};
  params.logits = logits.as<float>();
  params.logits_stride = logits.row_stride;
  params.num_rows = int(rows);
  params.vocab = int(vocab);
  // The probabilities of all tokens add up within 64 bits.
  params.mass_bits = std::min(62 - int(std::bit_width(std::uint64_t(vocab))), 48);
  take_scratch(params, context.workspace(), rows, vocab);
  set_batch(params, batch, vocab);
  set_result(params, result);
  constexpr std::int64_t kSlicesPerBlock = kScanThreads / 32;
  launch(context, "sample_scan", ceil_div(std::int64_t(params.slices), kSlicesPerBlock), rows,
         kScanThreads, params);
  launch(context, "sample_choose", rows, 1, kChooseThreads, params);
  if (rows <= params.num_copies || params.history_size + params.bias_size + params.num_masks == 0)
    return;
  params.copies_only = 1;
  launch(context, "sample_choose", params.num_copies, 1, kChooseThreads, params);
}

std::size_t sample_gpu_scratch(std::int64_t rows, std::int64_t vocab) {
  const Sizes sizes(rows, vocab);
  const std::size_t found =
      sizeof(unsigned long long) + sizeof(unsigned) + sizeof(float) + sizeof(int);
  return std::size_t(sizes.found) * found + std::size_t(sizes.copies * vocab) * sizeof(float) +
         5 * kAlignment;
}

}  // namespace isotope::ops::gpu
