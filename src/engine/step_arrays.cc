#include "engine/step_arrays.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "device/gpu.h"

namespace isotope::engine {
namespace {

constexpr std::size_t kInt = sizeof(std::int32_t);
constexpr std::size_t kAlignment = 64;
/// Up to this many block tables that changed are copied one by one.
constexpr std::size_t kSeparateCopies = 8;

std::int64_t table_width(const models::StepLimits& limits, std::int64_t block_size) {
  // A step may be larger than the longest sequence, and kernels may look one step ahead.
  return ceil_div(std::max(limits.max_context, limits.max_rows), block_size);
}

void grow(StagedMemory& memory, device::Device& device, std::size_t bytes) {
  if (bytes > memory.size()) memory = StagedMemory(device, 2 * bytes, "the arrays of a step");
}

template <typename T>
void put(std::byte* target, const std::vector<T>& values) {
  if (!values.empty()) std::memcpy(target, values.data(), values.size() * sizeof(T));
}

}  // namespace

StagedMemory::StagedMemory(device::Device& device, std::size_t bytes, std::string_view what)
    : stream_(&device.stream()), shared_(device.kind() == device::Kind::cpu) {
  // Never empty: an array without elements still has an address.
  const std::size_t size = std::max(bytes, kAlignment);
  device_ = device.allocate(size, what);
  if (!shared_) host_ = static_cast<device::Gpu&>(device).allocate_pinned(size, what);
}

void StagedMemory::upload(std::size_t begin, std::size_t bytes) const {
  ISOTOPE_ASSERT(begin + bytes <= size());
  if (!shared_ && bytes > 0) stream_->copy_to_device(device() + begin, host() + begin, bytes);
}

void StagedMemory::download(std::size_t begin, std::size_t bytes) const {
  ISOTOPE_ASSERT(begin + bytes <= size());
  if (!shared_ && bytes > 0) stream_->copy_to_host(host() + begin, device() + begin, bytes);
}

struct StepArrays::Layout {
  std::size_t slots = 0, token_ids, positions, row_seq, seq_begin, context_lens, logit_rows;
  std::size_t sampling, end;

  Layout(std::int64_t rows, std::int64_t num_seqs, std::int64_t num_logits) {
    std::size_t next = 0;
    const auto place = [&next](std::int64_t count, std::size_t size) {
      const std::size_t begin = next;
      next = round_up(next + std::size_t(count) * size, kAlignment);
      return begin;
    };
    slots = place(rows, sizeof(std::int64_t));
    token_ids = place(rows, kInt);
    positions = place(rows, kInt);
    row_seq = place(rows, kInt);
    seq_begin = place(num_seqs + 1, kInt);
    context_lens = place(num_seqs, kInt);
    logit_rows = place(num_logits, kInt);
    sampling = place(num_logits, sizeof(ops::SamplingRow));
    end = next;
  }
};

std::size_t StepArrays::bytes(const models::StepLimits& limits, std::int64_t max_seqs,
                              const ops::KvCacheShape& kv) {
  const Layout all(limits.max_rows, max_seqs, limits.max_logits);
  return all.end + std::size_t(max_seqs * table_width(limits, kv.block_size)) * kInt;
}

StepArrays::StepArrays(device::Device& device, const models::StepLimits& limits,
                       std::int64_t max_seqs, const ops::KvCacheShape& kv)
    : owner_(&device),
      table_width_(table_width(limits, kv.block_size)),
      arrays_(device, Layout(limits.max_rows, max_seqs, limits.max_logits).end,
              "the arrays of a step"),
      tables_(device, std::size_t(max_seqs * table_width_) * kInt, "block tables"),
      history_(device, 0, "token histories"),
      bias_ids_(device, 0, "logit biases"),
      bias_values_(device, 0, "logit biases"),
      masks_(device, 0, "token masks") {
  // Both sides begin equal, so that only what changes is copied.
  std::memset(tables_.host(), 0, tables_.size());
  tables_.upload(0, tables_.size());
  device.stream().synchronize();
}

ops::Batch StepArrays::views(ops::Rows rows, std::int64_t num_seqs, std::int64_t num_logits) const {
  const Layout at(rows.total, num_seqs, num_logits);
  std::byte* base = arrays_.device();
  const auto ints = [base](std::size_t begin, std::int64_t count) {
    return TensorView(DType::i32, Shape{count}, base + begin);
  };
  ops::Batch batch;
  batch.rows = rows;
  batch.num_seqs = num_seqs;
  batch.token_ids = ints(at.token_ids, rows.total);
  batch.positions = ints(at.positions, rows.total);
  batch.slots = TensorView(DType::i64, Shape{rows.total}, base + at.slots);
  batch.row_seq = ints(at.row_seq, rows.total);
  batch.seq_begin = ints(at.seq_begin, num_seqs + 1);
  batch.context_lens = ints(at.context_lens, num_seqs);
  batch.block_tables = TensorView(DType::i32, Shape{num_seqs, table_width_}, tables_.device());
  batch.logit_rows = ints(at.logit_rows, num_logits);
  return batch;
}

ops::Batch StepArrays::upload(const StepBatch& host, ops::Rows rows) {
  const auto num_seqs = std::int64_t(host.context_lens.size());
  const auto num_logits = std::int64_t(host.logit_rows.size());
  ISOTOPE_ASSERT(std::int64_t(host.token_ids.size()) == rows.total);
  const Layout at(rows.total, num_seqs, num_logits);
  ISOTOPE_ASSERT(at.end <= arrays_.size());
  std::byte* base = arrays_.host();
  put(base + at.slots, host.slots);
  put(base + at.token_ids, host.token_ids);
  put(base + at.positions, host.positions);
  put(base + at.row_seq, host.row_seq);
  put(base + at.seq_begin, host.seq_begin);
  put(base + at.context_lens, host.context_lens);
  put(base + at.logit_rows, host.logit_rows);
  put(base + at.sampling, host.sampling);
  arrays_.upload(0, at.end);
  upload_tables(host);
  upload_sampling(host, arrays_.device() + at.sampling);
  return views(rows, num_seqs, num_logits);
}

/// The host side holds what the device has: a table gets a new block once in block_size steps, and
/// only such tables are copied.
void StepArrays::upload_tables(const StepBatch& host) {
  changed_.clear();
  auto* tables = reinterpret_cast<std::int32_t*>(tables_.host());
  const auto live = host.block_tables.size() / std::size_t(host.table_width);
  for (std::size_t s = 0; s < live; ++s) {
    const std::int32_t* from = host.block_tables.data() + s * std::size_t(host.table_width);
    std::int32_t* to = tables + s * std::size_t(table_width_);
    const auto [first, ignored] = std::mismatch(from, from + host.table_width, to);
    if (first == from + host.table_width) continue;
    const auto begin = std::size_t(first - from);
    std::copy(first, from + host.table_width, to + begin);
    const std::size_t row = s * std::size_t(table_width_);
    changed_.push_back({row + begin, row + std::size_t(host.table_width)});
  }
  if (changed_.size() > kSeparateCopies) changed_ = {{changed_.front().begin, changed_.back().end}};
  for (const Range& range : changed_)
    tables_.upload(range.begin * kInt, (range.end - range.begin) * kInt);
}

void StepArrays::upload_sampling(const StepBatch& host, std::byte* rows) {
  const auto upload = [this](StagedMemory& memory, const auto& values, DType dtype) {
    const std::size_t bytes = values.size() * sizeof(values[0]);
    grow(memory, *owner_, bytes);
    put(memory.host(), values);
    memory.upload(0, bytes);
    return TensorView(dtype, Shape{std::int64_t(values.size())}, memory.device());
  };
  sampling_.rows = TensorView(
      DType::u8, Shape{std::int64_t(host.sampling.size() * sizeof(ops::SamplingRow))}, rows);
  sampling_.history = upload(history_, host.history, DType::i32);
  sampling_.bias_ids = upload(bias_ids_, host.bias_ids, DType::i32);
  sampling_.bias_values = upload(bias_values_, host.bias_values, DType::f32);
  sampling_.masks = {};
}

std::span<std::uint32_t> StepArrays::masks(std::int64_t rows, std::int64_t words) {
  const auto count = std::size_t(rows * words);
  grow(masks_, *owner_, count * kInt);
  return {reinterpret_cast<std::uint32_t*>(masks_.host()), count};
}

void StepArrays::upload_masks(std::int64_t rows, std::int64_t words) {
  masks_.upload(0, std::size_t(rows * words) * kInt);
  sampling_.masks = TensorView(DType::i32, Shape{rows, words}, masks_.device());
}

StepResults::StepResults(device::Device& device, std::int64_t max_logits)
    : max_logits_(max_logits), memory_(device, bytes(max_logits), "sampled tokens") {}

std::size_t StepResults::bytes(std::int64_t max_logits) {
  return std::size_t(max_logits * (3 + 2 * ops::kMaxTopLogprobs)) * kInt;
}

ops::SampleResult StepResults::views(std::int64_t rows) const {
  std::byte* base = memory_.device();
  const auto column = [&](DType dtype, std::int64_t i) {
    return TensorView(dtype, Shape{rows}, base + std::size_t(i * max_logits_) * kInt);
  };
  const auto table = [&](DType dtype, std::int64_t i) {
    return TensorView(dtype, Shape{rows, ops::kMaxTopLogprobs},
                      base + std::size_t(i * max_logits_) * kInt);
  };
  return {column(DType::i32, 0), column(DType::f32, 1), column(DType::i32, 2), table(DType::i32, 3),
          table(DType::f32, 3 + ops::kMaxTopLogprobs)};
}

void StepResults::fetch(std::int64_t rows, std::int32_t num_top) {
  const auto columns = [&](std::int64_t first, std::int64_t count) {
    memory_.download(std::size_t(first * max_logits_) * kInt, std::size_t(count) * kInt);
  };
  columns(0, rows);
  if (num_top < 0) return;
  columns(1, rows);
  columns(2, rows);
  if (num_top == 0) return;
  columns(3, rows * ops::kMaxTopLogprobs);
  columns(3 + ops::kMaxTopLogprobs, rows * ops::kMaxTopLogprobs);
}

}  // namespace isotope::engine
