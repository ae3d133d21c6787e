// The arrays of a step on their way to the device, and what sampling gave on its way back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "engine/step_batch.h"
#include "models/model.h"
#include "ops/batch.h"
#include "ops/kv_cache.h"
#include "ops/sample/sample.h"

namespace isotope::engine {

/// Host memory and the device memory that it is copied to or from. On a GPU the host side is
/// page-locked, so that copies are queued and need no stop; on a CPU both are the same memory and
/// nothing is copied.
class StagedMemory {
 public:
  StagedMemory(device::Device& device, std::size_t bytes, std::string_view what);

  std::byte* host() const { return shared_ ? device_.as<std::byte>() : host_.as<std::byte>(); }
  std::byte* device() const { return device_.as<std::byte>(); }
  std::size_t size() const { return device_.size(); }
  /// Queue copies of [begin, begin + bytes). The host side must stay until the stream is
  /// synchronised.
  void upload(std::size_t begin, std::size_t bytes) const;
  void download(std::size_t begin, std::size_t bytes) const;

 private:
  device::Stream* stream_;
  bool shared_;
  device::Buffer device_, host_;
};

/// Inputs. Addresses depend on the numbers of rows, sequences and logits alone, so a graph captured
/// for a padded batch finds every later batch of that size where the first one was.
class StepArrays {
 public:
  StepArrays(device::Device& device, const models::StepLimits& limits, std::int64_t max_seqs,
             const ops::KvCacheShape& kv);

  /// The views of a step of that size; what they show is undefined before upload().
  ops::Batch views(ops::Rows rows, std::int64_t num_seqs, std::int64_t num_logits) const;
  /// Queues the copies of a step and of what its sampling needs. One step at a time: the next call
  /// must come after the stream was synchronised.
  ops::Batch upload(const StepBatch& host, ops::Rows rows);
  ops::SampleBatch sampling() const { return sampling_; }
  /// Host memory for the masks of `rows` rows of `words` words each; upload_masks() queues its
  /// copy, for sampling() to refer to.
  std::span<std::uint32_t> masks(std::int64_t rows, std::int64_t words);
  void upload_masks(std::int64_t rows, std::int64_t words);

  /// Bytes on the device.
  static std::size_t bytes(const models::StepLimits& limits, std::int64_t max_seqs,
                           const ops::KvCacheShape& kv);

 private:
  /// Where the arrays lie in one contiguous piece.
  struct Layout;
  /// A part of the block tables, in elements.
  struct Range {
    std::size_t begin, end;
  };
  void upload_tables(const StepBatch& host);
  void upload_sampling(const StepBatch& host, std::byte* rows);

  device::Device* owner_;
  std::int64_t table_width_;
  StagedMemory arrays_, tables_;
  StagedMemory history_, bias_ids_, bias_values_, masks_;  // grow when a step needs more
  ops::SampleBatch sampling_;
  std::vector<Range> changed_;  // scratch of upload_tables
};

/// Outputs of sampling.
class StepResults {
 public:
  StepResults(device::Device& device, std::int64_t max_logits);

  ops::SampleResult views(std::int64_t rows) const;
  /// Queues the copy back of `rows` results: tokens; logprobs and ranks if num_top ≥ 0; the
  /// alternatives if num_top > 0.
  void fetch(std::int64_t rows, std::int32_t num_top);

  /// On the host, once the stream is synchronised.
  const std::int32_t* tokens() const { return host<std::int32_t>(0); }
  const float* logprobs() const { return host<float>(1); }
  const std::int32_t* ranks() const { return host<std::int32_t>(2); }
  const std::int32_t* top_ids() const { return host<std::int32_t>(3); }
  const float* top_logprobs() const { return host<float>(3 + ops::kMaxTopLogprobs); }

  static std::size_t bytes(std::int64_t max_logits);

 private:
  template <typename T>
  const T* host(std::int64_t column) const {
    return reinterpret_cast<const T*>(memory_.host()) + column * max_logits_;
  }

  std::int64_t max_logits_;
  StagedMemory memory_;
};

}  // namespace isotope::engine
