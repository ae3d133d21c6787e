#include "engine/runner.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"

namespace isotope::engine {
namespace {

std::size_t logits_bytes(const models::StepLimits& limits, std::int64_t vocab_size) {
  return std::size_t(limits.max_logits * vocab_size) * sizeof(float);
}

/// Takes `ids` out of what a constraint allows, unless nothing would be left.
void ban(std::span<const TokenId> ids, std::span<std::uint32_t> mask) {
  std::vector<TokenId> taken;
  for (const TokenId id : ids) {
    std::uint32_t& word = mask[std::size_t(id) / 32];
    const std::uint32_t bit = std::uint32_t(1) << (id % 32);
    if (word & bit) taken.push_back(id);
    word &= ~bit;
  }
  if (taken.empty() || std::any_of(mask.begin(), mask.end(), [](auto word) { return word != 0; }))
    return;
  for (const TokenId id : taken) mask[std::size_t(id) / 32] |= std::uint32_t(1) << (id % 32);
}

}  // namespace

RunnerMemory runner_memory(const models::StepLimits& limits, std::int64_t vocab_size,
                           std::int64_t max_seqs, const ops::KvCacheShape& kv) {
  return {logits_bytes(limits, vocab_size),
          StepArrays::bytes(limits, max_seqs, kv) + StepResults::bytes(limits.max_logits)};
}

Runner::Runner(ops::Context& context, const models::Model& model, const ops::KvCache& kv,
               const models::StepLimits& limits, std::int64_t max_seqs)
    : context_(&context),
      model_(&model),
      kv_(&kv),
      limits_(limits),
      max_seqs_(max_seqs),
      arrays_(context.device(), limits, max_seqs, kv.shape()),
      sampled_(context.device(), limits.max_logits),
      logits_(context.device().allocate(logits_bytes(limits, model.info().vocab_size), "logits")) {}

TensorView Runner::logits(std::int64_t rows) const {
  const TensorView view(DType::f32, {rows, model_->info().vocab_size}, logits_.data());
  ISOTOPE_ASSERT(std::size_t(view.bytes()) <= logits_.size());
  return view;
}

void Runner::forward(const ops::Batch& batch) {
  model_->forward(*context_, batch, *kv_, logits(batch.logit_rows.shape[0]));
}

std::vector<jit::Unit> Runner::required_kernels() {
  context_->kernels().start_recording();
  // Kernels are chosen by ranges of sizes, and noting a step costs microseconds: every size within
  // the first ranges, then steps well below their width.
  const auto sizes = [](std::int64_t limit) {
    std::vector<std::int64_t> all;
    for (std::int64_t size = 1; size < limit; size += size < 136 ? 1 : 64) all.push_back(size);
    all.push_back(limit);
    return all;
  };
  for (const std::int64_t rows : sizes(max_seqs_)) note_step({rows, rows}, rows, rows);
  for (const std::int64_t rows : sizes(limits_.max_rows)) note_step({0, rows}, 1, 1);
  // Generated tokens that are computed again after a preemption: many rows of one sequence.
  for (const std::int64_t rows : sizes(limits_.max_rows)) note_step({rows, rows}, 1, 1);
  note_sampling();
  return context_->kernels().stop_recording();
}

void Runner::note_step(ops::Rows rows, std::int64_t num_seqs, std::int64_t num_logits) {
  forward(arrays_.views(rows, num_seqs, num_logits));
}

/// Penalties, logprobs and every kind of draw are data of one set of kernels, but for rows with
/// histories.
void Runner::note_sampling() {
  for (const bool history : {false, true}) {
    const std::int64_t rows = limits_.max_logits;
    ops::SampleBatch batch;
    batch.rows =
        TensorView(DType::u8, Shape{rows * std::int64_t(sizeof(ops::SamplingRow))}, logits_.data());
    if (history) batch.history = TensorView(DType::i32, Shape{1}, logits_.data());
    ops::sample(*context_, logits(rows), batch, sampled_.views(rows));
  }
}

void Runner::capture(
    std::span<const std::int64_t> sizes,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
  context_->poisoned_from = poison_.first_idle_row;
  for (const std::int64_t rows : sizes) {
    host_.fill({}, kv_->shape().block_size);
    host_.pad(rows);
    const ops::Batch batch = arrays_.upload(host_, {rows, rows});
    forward(batch);
    context_->stream().synchronize();
    gpu().begin_capture();
    forward(batch);
    graphs_.push_back({rows, gpu().end_capture()});
    if (progress)
      progress(std::int64_t(graphs_.size()), std::int64_t(sizes.size()),
               fmt::format("a graph for {} rows", rows));
  }
  context_->poisoned_from = -1;
}

const Runner::CapturedStep* Runner::find_graph(const Step& step) const {
  if (context_->profiler || step.num_decode_rows != step.num_rows || !host_.plain_decode())
    return nullptr;
  for (const CapturedStep& graph : graphs_)
    if (graph.rows >= step.num_rows) return &graph;
  return nullptr;
}

void Runner::begin_profile(const Step& step) {
  if (!profiler_ || !profiler_->enabled()) return;
  context_->profiler = profiler_;
  profiler_->begin_step(context_->device(), step.num_rows, step.num_decode_rows);
}

void Runner::start(const Step& step) {
  begin_profile(step);
  context_->mark("inputs");
  host_.fill(step, kv_->shape().block_size);
  if (poison_.first_idle_row >= 0) context_->workspace().fill(context_->stream(), 0xff);
  if (const CapturedStep* captured = find_graph(step)) {
    host_.pad(captured->rows);
    arrays_.upload(host_, {captured->rows, captured->rows});
    gpu().launch(*captured->graph);
    ++replayed_;
  } else {
    forward(arrays_.upload(host_, {step.num_decode_rows, step.num_rows}));
  }
  if (!host_.uses.empty()) {
    // On a GPU the forward pass is under way meanwhile.
    if (!host_.constrained.empty()) fill_masks();
    sample();
  }
  if (context_->profiler) context_->profiler->end_parts();
}

void Runner::fill_masks() {
  context_->mark("masks");
  const auto rows = std::int64_t(host_.constrained.size());
  const std::int64_t words = ceil_div(model_->info().vocab_size, std::int64_t(32));
  const std::span<std::uint32_t> masks = arrays_.masks(rows, words);
  mask_pool().parallel_for(rows, [&](std::int64_t row, int) {
    Sequence& sequence = *host_.constrained[std::size_t(row)];
    const auto mask = masks.subspan(std::size_t(row * words), std::size_t(words));
    sequence.constraint()->fill_mask(mask, sequence.num_left());
    ban(sequence.banned(), mask);
  });
  arrays_.upload_masks(rows, words);
}

ThreadPool& Runner::mask_pool() {
  if (!context_->on_gpu()) return static_cast<device::CpuDevice&>(context_->device()).pool();
  constexpr int kThreads = 4;
  if (!mask_pool_) mask_pool_ = std::make_unique<ThreadPool>(std::min(kThreads, available_cpus()));
  return *mask_pool_;
}

void Runner::sample() {
  context_->mark("sample");
  const auto rows = std::int64_t(host_.uses.size());
  ops::SampleBatch batch = arrays_.sampling();
  batch.vocab_limit = vocab_limit_;
  ops::sample(*context_, logits(rows), batch, sampled_.views(rows));
  std::int32_t num_top = -1;
  for (const LogitUse& use : host_.uses) num_top = std::max(num_top, use.num_top);
  sampled_.fetch(rows, num_top);
}

std::span<RowResult> Runner::finish() {
  // Also without results: the next step overwrites the host arrays that this one is copied from.
  context_->stream().synchronize();
  if (context_->profiler) std::exchange(context_->profiler, nullptr)->end_step();
  results_.clear();
  take_results();
  return results_;
}

void Runner::abandon() noexcept {
  if (context_->profiler) std::exchange(context_->profiler, nullptr)->abandon();
  try {
    context_->stream().synchronize();
  } catch (const std::exception&) {
    // The device itself has failed; the next step will say so.
  }
}

void Runner::take_results() {
  const std::int64_t vocab = model_->info().vocab_size;
  for (std::size_t i = 0; i < host_.uses.size(); ++i) {
    const LogitUse& use = host_.uses[i];
    RowResult result{use.sequence, use.samples, {}};
    result.output.id = sampled_.tokens()[i];
    if (result.output.id < 0 || result.output.id >= vocab)
      fail(ErrorCode::internal, "sampling gave token {}, outside the vocabulary of {}",
           result.output.id, vocab);
    if (use.num_top >= 0) {
      TokenLogprobs& logprobs = result.output.logprobs.emplace();
      logprobs.logprob = sampled_.logprobs()[i];
      logprobs.rank = sampled_.ranks()[i];
      const std::size_t first = i * std::size_t(ops::kMaxTopLogprobs);
      const auto top = std::size_t(std::min<std::int64_t>(use.num_top, vocab));
      for (std::size_t k = first; k < first + top; ++k)
        logprobs.top.emplace_back(sampled_.top_ids()[k], sampled_.top_logprobs()[k]);
    }
    results_.push_back(std::move(result));
  }
}

}  // namespace isotope::engine
