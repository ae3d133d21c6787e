#include "engine/runner.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::engine {
namespace {

constexpr std::size_t kInt = sizeof(std::int32_t);
constexpr std::size_t kTop = std::size_t(ops::kMaxTopLogprobs);

std::size_t table_bytes(const models::StepLimits& limits, std::int64_t max_seqs,
                        std::int64_t block_size) {
  return std::size_t(max_seqs * ceil_div(limits.max_context, block_size)) * kInt;
}

std::size_t logits_bytes(const models::StepLimits& limits, std::int64_t vocab_size) {
  return std::size_t(limits.max_logits * vocab_size) * sizeof(float);
}

}  // namespace

DeviceArray::DeviceArray(device::Device& device, std::size_t bytes) : device_(&device) {
  // Never empty: an array without elements still has an address.
  buffer_ = device.allocate(std::max<std::size_t>(bytes, 64), "the arrays of a step");
}

void* DeviceArray::store(const void* data, std::size_t bytes) {
  if (bytes > buffer_.size()) buffer_ = device_->allocate(2 * bytes, "the arrays of a step");
  if (bytes > 0) device_->stream().copy_to_device(buffer_.data(), data, bytes);
  return buffer_.data();
}

template <typename T>
TensorView DeviceArray::upload(const std::vector<T>& values, const Shape& shape) {
  ISOTOPE_ASSERT(shape.elements() == std::int64_t(values.size()));
  return TensorView(DTypeOf<T>::value, shape, store(values.data(), values.size() * sizeof(T)));
}

template <>
TensorView DeviceArray::upload(const std::vector<ops::SamplingRow>& values, const Shape& shape) {
  return TensorView(DType::u8, shape,
                    store(values.data(), values.size() * sizeof(ops::SamplingRow)));
}

RunnerMemory runner_memory(const models::StepLimits& limits, std::int64_t vocab_size,
                           std::int64_t max_seqs, std::int64_t block_size) {
  RunnerMemory memory;
  memory.logits = logits_bytes(limits, vocab_size);
  const std::size_t rows = std::size_t(limits.max_rows), logits = std::size_t(limits.max_logits);
  memory.steps = rows * (3 * kInt + sizeof(std::int64_t)) + std::size_t(2 * max_seqs + 1) * kInt +
                 table_bytes(limits, max_seqs, block_size) +
                 logits * (kInt + sizeof(ops::SamplingRow)) + logits * (3 + 2 * kTop) * kInt;
  return memory;
}

Runner::Runner(ops::Context& context, const models::Model& model, const ops::KvCache& kv,
               const models::StepLimits& limits, std::int64_t max_seqs)
    : context_(&context),
      model_(&model),
      kv_(&kv),
      token_ids_(context.device(), std::size_t(limits.max_rows) * kInt),
      positions_(context.device(), std::size_t(limits.max_rows) * kInt),
      slots_(context.device(), std::size_t(limits.max_rows) * sizeof(std::int64_t)),
      row_seq_(context.device(), std::size_t(limits.max_rows) * kInt),
      seq_begin_(context.device(), std::size_t(max_seqs + 1) * kInt),
      context_lens_(context.device(), std::size_t(max_seqs) * kInt),
      block_tables_(context.device(), table_bytes(limits, max_seqs, kv.shape().block_size)),
      logit_rows_(context.device(), std::size_t(limits.max_logits) * kInt),
      sampling_(context.device(), std::size_t(limits.max_logits) * sizeof(ops::SamplingRow)),
      history_(context.device(), 0),
      bias_ids_(context.device(), 0),
      bias_values_(context.device(), 0) {
  device::Device& device = context.device();
  const std::size_t rows = std::size_t(limits.max_logits);
  logits_ = device.allocate(logits_bytes(limits, model.info().vocab_size), "logits");
  tokens_ = device.allocate(rows * kInt, "sampled tokens");
  logprobs_ = device.allocate(rows * sizeof(float), "logprobs");
  ranks_ = device.allocate(rows * kInt, "ranks");
  top_ids_ = device.allocate(rows * kTop * kInt, "top tokens");
  top_logprobs_ = device.allocate(rows * kTop * sizeof(float), "top logprobs");
}

std::span<RowResult> Runner::run(const Step& step) {
  host_.fill(step, kv_->shape().block_size);
  const ops::Batch batch = upload_batch(step);
  const auto rows = std::int64_t(host_.logit_rows.size());
  const TensorView logits(DType::f32, {rows, model_->info().vocab_size}, logits_.data());
  ISOTOPE_ASSERT(std::size_t(logits.bytes()) <= logits_.size());
  model_->forward(*context_, batch, *kv_, logits);
  results_.clear();
  if (rows > 0) {
    sample(logits);
    read_back();
  } else {
    // The next step overwrites the host arrays that this one was copied from.
    context_->stream().synchronize();
  }
  return results_;
}

ops::Batch Runner::upload_batch(const Step& step) {
  ops::Batch batch;
  batch.rows = {step.num_decode_rows, step.num_rows};
  batch.num_seqs = std::int64_t(step.chunks.size());
  batch.token_ids = token_ids_.upload(host_.token_ids, {step.num_rows});
  batch.positions = positions_.upload(host_.positions, {step.num_rows});
  batch.slots = slots_.upload(host_.slots, {step.num_rows});
  batch.row_seq = row_seq_.upload(host_.row_seq, {step.num_rows});
  batch.seq_begin = seq_begin_.upload(host_.seq_begin, {batch.num_seqs + 1});
  batch.context_lens = context_lens_.upload(host_.context_lens, {batch.num_seqs});
  batch.block_tables =
      block_tables_.upload(host_.block_tables, {batch.num_seqs, host_.table_width});
  batch.logit_rows = logit_rows_.upload(host_.logit_rows, {std::int64_t(host_.logit_rows.size())});
  return batch;
}

void Runner::sample(const TensorView& logits) {
  const auto rows = std::int64_t(host_.sampling.size());
  ops::SampleBatch batch;
  batch.rows = sampling_.upload(host_.sampling, {rows * std::int64_t(sizeof(ops::SamplingRow))});
  batch.history = history_.upload(host_.history, {std::int64_t(host_.history.size())});
  batch.bias_ids = bias_ids_.upload(host_.bias_ids, {std::int64_t(host_.bias_ids.size())});
  batch.bias_values =
      bias_values_.upload(host_.bias_values, {std::int64_t(host_.bias_values.size())});
  batch.vocab_limit = vocab_limit_;
  ops::SampleResult result;
  result.tokens = TensorView(DType::i32, {rows}, tokens_.data());
  result.logprobs = TensorView(DType::f32, {rows}, logprobs_.data());
  result.ranks = TensorView(DType::i32, {rows}, ranks_.data());
  result.top_ids = TensorView(DType::i32, {rows, ops::kMaxTopLogprobs}, top_ids_.data());
  result.top_logprobs = TensorView(DType::f32, {rows, ops::kMaxTopLogprobs}, top_logprobs_.data());
  ops::sample(*context_, logits, batch, result);
}

void Runner::read_back() {
  const std::size_t rows = host_.uses.size();
  device::Stream& stream = context_->stream();
  const auto fetch = [&stream](auto& target, const device::Buffer& source, std::size_t count) {
    target.resize(count);
    stream.copy_to_host(target.data(), source.data(), count * sizeof(target[0]));
  };
  fetch(host_tokens_, tokens_, rows);
  std::int32_t num_top = -1;
  for (const LogitUse& use : host_.uses) num_top = std::max(num_top, use.num_top);
  if (num_top >= 0) {
    fetch(host_logprobs_, logprobs_, rows);
    fetch(host_ranks_, ranks_, rows);
  }
  if (num_top > 0) {
    fetch(host_top_ids_, top_ids_, rows * kTop);
    fetch(host_top_logprobs_, top_logprobs_, rows * kTop);
  }
  stream.synchronize();

  const std::int64_t vocab = model_->info().vocab_size;
  for (std::size_t i = 0; i < rows; ++i) {
    const LogitUse& use = host_.uses[i];
    RowResult result{use.sequence, use.samples, {}};
    result.output.id = host_tokens_[i];
    if (result.output.id < 0 || result.output.id >= vocab)
      fail(ErrorCode::internal, "sampling gave token {}, outside the vocabulary of {}",
           result.output.id, vocab);
    if (use.num_top >= 0) {
      TokenLogprobs& logprobs = result.output.logprobs.emplace();
      logprobs.logprob = host_logprobs_[i];
      logprobs.rank = host_ranks_[i];
      for (std::size_t k = 0; k < std::size_t(std::min<std::int64_t>(use.num_top, vocab)); ++k)
        logprobs.top.emplace_back(host_top_ids_[i * kTop + k], host_top_logprobs_[i * kTop + k]);
    }
    results_.push_back(std::move(result));
  }
}

}  // namespace isotope::engine
