#include "engine/engine_core.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"

namespace isotope::engine {
namespace {

using Clock = RequestTimes::Clock;

/// SplitMix64 (Steele, Lea and Flood 2014): the n-th number of the stream that `seed` starts.
std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t n) {
  std::uint64_t z = seed + n * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

SchedulerOptions scheduler_options(const CoreOptions& options) {
  SchedulerOptions scheduler;
  scheduler.max_rows = options.limits.max_rows;
  scheduler.max_seqs = options.max_num_seqs;
  scheduler.max_logits = options.limits.max_logits;
  scheduler.num_blocks = options.kv.num_blocks;
  scheduler.block_size = options.kv.block_size;
  scheduler.prefix_caching = options.prefix_caching;
  return scheduler;
}

}  // namespace

EngineCore::EngineCore(
    std::unique_ptr<device::Device> device, std::unique_ptr<models::Model> model,
    const CoreOptions& options, std::shared_ptr<ops::gpu::KernelLibrary> kernels,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress)
    : options_(options),
      device_(std::move(device)),
      model_(std::move(model)),
      context_(*device_, options.workspace_bytes, options.path, options.batch_invariant,
               std::move(kernels)),
      kv_(*device_, options.kv),
      runner_(context_, *model_, kv_, options.limits, options.max_num_seqs),
      scheduler_(scheduler_options(options)),
      vocab_limit_(model_->info().vocab_size) {
  stats_.kv_blocks_total = counted_.kv_blocks_total = options.kv.num_blocks;
  runner_.set_profiler(options_.profiler.get());
  if (context_.on_gpu()) {
    // What is loaded may differ from what its configuration promised.
    context_.kernels().build(runner_.required_kernels());
    runner_.set_poison(options.poison);
    runner_.capture(options.graph_sizes, progress);
  }
  thread_ = std::thread([this] { run(); });
}

EngineCore::~EngineCore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    refusal_ = "the engine is shutting down";
  }
  wake_.notify_all();
  thread_.join();
  if (options_.profiler) options_.profiler->leave_device();
}

void EngineCore::limit_vocab(std::int64_t limit) {
  if (limit < 1 || limit > model_->info().vocab_size)
    fail(ErrorCode::invalid_argument, "vocabulary limit {}: the model has logits for {} tokens",
         limit, model_->info().vocab_size);
  const std::lock_guard lock(mutex_);
  vocab_limit_ = limit;
}

void EngineCore::check(const Request& request) const {
  const std::int64_t vocab = model_->info().vocab_size;
  validate(request.params, vocab);
  if (request.priority != 0 && options_.policy != SchedulingPolicy::priority)
    fail(
        ErrorCode::invalid_argument,
        "'priority' is {}, but requests are served in order of arrival; leave it out, or start the "
        "server with --scheduling-policy priority",
        request.priority);
  if (request.prompt.empty())
    fail(ErrorCode::invalid_argument, "the prompt is empty; at least one token is needed");
  for (std::size_t i = 0; i < request.prompt.size(); ++i)
    if (request.prompt[i] < 0 || request.prompt[i] >= vocab)
      fail(ErrorCode::invalid_argument, "prompt token {} is {}; expected an id from 0 to {}", i,
           request.prompt[i], vocab - 1);

  const auto prompt = std::int64_t(request.prompt.size());
  const std::int64_t max_tokens = request.params.max_tokens;
  if (prompt + max_tokens > options_.max_model_len)
    fail(ErrorCode::invalid_argument,
         "the prompt has {} tokens and max_tokens is {}: together {}, more than the context of {}; "
         "shorten the prompt or lower max_tokens",
         prompt, max_tokens, prompt + max_tokens, options_.max_model_len);
  // The last new token is never fed back, so it needs no place.
  const std::int64_t places = prompt + std::max<std::int64_t>(0, max_tokens - 1);
  if (ceil_div(places, options_.kv.block_size) > options_.kv.num_blocks)
    fail(ErrorCode::invalid_argument,
         "the prompt has {} tokens and max_tokens is {}: the KV cache holds {} tokens in all; "
         "shorten the prompt or lower max_tokens",
         prompt, max_tokens, options_.kv.num_blocks * options_.kv.block_size);
}

std::unique_ptr<EngineCore::Job> EngineCore::make_job(Request request, std::uint64_t number) const {
  SequenceSetup setup;
  setup.block_size = options_.kv.block_size;
  setup.max_model_len = options_.max_model_len;
  setup.stop_ids = request.params.stop_token_ids;
  if (!request.params.ignore_eos)
    setup.stop_ids.insert(setup.stop_ids.end(), options_.eos_ids.begin(), options_.eos_ids.end());
  std::sort(setup.stop_ids.begin(), setup.stop_ids.end());
  setup.stop_ids.erase(std::unique(setup.stop_ids.begin(), setup.stop_ids.end()),
                       setup.stop_ids.end());
  setup.seed = derived_seed(options_.seed, number);
  setup.turn = num_arrivals_ + std::uint64_t(request.choice);
  const auto deadline = request.deadline;
  Job job{Sequence(number, std::move(request), std::move(setup)), deadline, {}, {}};
  job.times.submitted = Clock::now();
  return std::make_unique<Job>(std::move(job));
}

Engine::Ticket EngineCore::submit(Request request) {
  check(request);
  Engine::Ticket ticket;
  {
    const std::lock_guard lock(mutex_);
    if (!refusal_.empty()) fail(ErrorCode::unavailable, "{}", refusal_);
    // Numbering and queueing are one step, so numbers follow the order of arrival.
    ticket.number = next_number_++;
    if (request.choice == 0) ++num_arrivals_;
    inbox_.submitted.push_back(make_job(std::move(request), ticket.number));
    ticket.answer = inbox_.submitted.back()->writer.answer();
    ++num_open_;
    ++stats_.requests_submitted;
  }
  wake_.notify_one();
  return ticket;
}

void EngineCore::cancel(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.cancelled.push_back(number);
  }
  wake_.notify_one();
}

EngineStats EngineCore::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += std::int64_t(inbox_.submitted.size());
  stats.waiting_tokens += inbox_.tokens();
  stats.ends_per_second = ends_.per_second(Clock::now());
  return stats;
}

std::int64_t EngineCore::Inbox::tokens() const {
  std::int64_t sum = 0;
  for (const auto& job : submitted) sum += job->sequence.most_tokens();
  return sum;
}

bool EngineCore::drain(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (refusal_.empty()) refusal_ = "the engine is shutting down";
  return idle_.wait_for(lock, timeout, [this] { return num_open_ == 0; });
}

void EngineCore::run() {
  std::string error;
  try {
    while (receive()) {
      expire();
      if (scheduler_.has_work()) step();
      // On a GPU the next step comes first: consumers are woken while it runs (step()).
      if (!context_.on_gpu() || !scheduler_.has_work()) publish();
    }
  } catch (const std::exception& exception) {
    // Only bookkeeping can get here: a failure of the device ends in step().
    error = fmt::format("the engine has stopped after an internal error: {}", exception.what());
    log_error("engine", "{}", error);
  }
  {
    const std::lock_guard lock(mutex_);
    if (!error.empty()) refusal_ = error;
    for (auto& job : inbox_.submitted) start(std::move(job));
    inbox_ = {};
  }
  finish_all(error.empty() ? FinishReason::cancelled : FinishReason::error, error);
  publish();
}

bool EngineCore::receive() {
  Inbox inbox;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !inbox_.empty() || scheduler_.has_work(); });
    if (stopping_) return false;
    inbox = std::exchange(inbox_, {});
    runner_.set_vocab_limit(vocab_limit_);
  }
  for (auto& submitted : inbox.submitted) start(std::move(submitted));
  for (const std::uint64_t number : inbox.cancelled)
    if (const auto job = jobs_.find(number); job != jobs_.end())
      finish(*job->second, FinishReason::cancelled);
  if (!inbox.submitted.empty()) {
    // They are no longer in the inbox, and the step that they wait for may take long.
    const std::lock_guard lock(mutex_);
    stats_.waiting = scheduler_.num_waiting();
    stats_.waiting_tokens = scheduler_.waiting_tokens();
  }
  return true;
}

void EngineCore::start(std::unique_ptr<Job> job) {
  scheduler_.add(job->sequence);
  const std::uint64_t number = job->sequence.number();
  if (job->deadline) deadlines_.emplace(*job->deadline, number);
  jobs_.emplace(number, std::move(job));
}

void EngineCore::expire() {
  const auto now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now)
    finish(*jobs_.at(deadlines_.begin()->second), FinishReason::timed_out);
}

void EngineCore::step() {
  const auto begin = Clock::now();
  const Step step = scheduler_.schedule();
  note_scheduled(step);
  ++counted_.steps;
  std::span<RowResult> results;
  try {
    runner_.start(step);
    if (context_.on_gpu()) publish();
    results = runner_.finish();
  } catch (const std::exception& exception) {
    // What the step wrote is in blocks of its own sequences that nobody else can find yet; with
    // them it is gone, and everyone else goes on.
    runner_.abandon();
    log_error("engine", "a step with {} sequences failed: {}", step.chunks.size(),
              exception.what());
    for (const Chunk& chunk : step.chunks)
      finish(*jobs_.at(chunk.sequence->number()), FinishReason::error, exception.what());
    return;
  }
  scheduler_.commit(step);
  take_results(step, results);
  counted_.step_tokens.observe(double(step.num_rows));
  counted_.step_seconds.observe(std::chrono::duration<double>(Clock::now() - begin).count());
}

void EngineCore::note_scheduled(const Step& step) {
  const auto now = Clock::now();
  for (const Chunk& chunk : step.chunks) {
    Job& job = *jobs_.at(chunk.sequence->number());
    if (job.num_cached >= 0) continue;
    job.num_cached = chunk.begin;
    job.times.first_scheduled = now;
  }
}

void EngineCore::take_results(const Step& step, std::span<RowResult> results) {
  for (RowResult& result : results) {
    if (result.samples)
      emit(*jobs_.at(result.sequence->number()), std::move(result.output));
    else
      result.sequence->add_prompt_logprob(std::move(*result.output.logprobs));
  }
  // A request for no new tokens ends with its prompt.
  for (const Chunk& chunk : step.chunks)
    if (const auto job = jobs_.find(chunk.sequence->number());
        job != jobs_.end() && chunk.sequence->num_remaining() == 0)
      finish(*job->second, FinishReason::length);
}

void EngineCore::emit(Job& job, TokenOutput token) {
  Sequence& sequence = job.sequence;
  sequence.append(token.id);
  ++counted_.generated_tokens;
  const auto now = Clock::now();
  if (sequence.num_output() == 1)
    job.times.first_token = now;
  else
    counted_.token_gaps.observe(std::chrono::duration<double>(now - job.times.last_token).count());
  job.times.last_token = now;
  Progress& progress = outgoing(job);
  const TokenId id = token.id;
  progress.tokens.push_back(std::move(token));
  progress.prompt_logprobs = sequence.take_prompt_logprobs();
  TokenConstraint* constraint = sequence.constraint();
  if (constraint && !constraint->accept(id))
    return finish(
        job, FinishReason::error,
        "no token can follow: the vocabulary has none that goes on with the answer's form");
  const auto reason = sequence.finish_reason();
  if (reason == FinishReason::stop)
    finish(job, *reason);
  else if (constraint && constraint->finished())
    finish(job, contains(options_.eos_ids, id) ? FinishReason::stop : FinishReason::complete);
  else if (reason)
    finish(job, *reason);
}

Progress& EngineCore::outgoing(Job& job) {
  if (!job.outgoing) {
    job.outgoing.emplace();
    writing_.push_back(&job);
  }
  job.outgoing->num_cached_prompt_tokens = std::max<std::int64_t>(0, job.num_cached);
  job.outgoing->times = job.times;
  return *job.outgoing;
}

void EngineCore::finish(Job& job, FinishReason reason, std::string error) {
  Progress& progress = outgoing(job);
  progress.finished = reason;
  progress.error = std::move(error);
  if (progress.tokens.empty() && job.sequence.has_prompt_logprobs())
    progress.prompt_logprobs = job.sequence.take_prompt_logprobs();
  ++(reason == FinishReason::cancelled   ? counted_.requests_cancelled
     : reason == FinishReason::timed_out ? counted_.requests_timed_out
                                         : counted_.requests_finished);
  if (job.deadline) deadlines_.erase({*job.deadline, job.sequence.number()});
  scheduler_.remove(job.sequence);
  const auto entry = jobs_.find(job.sequence.number());
  ended_.push_back(std::move(entry->second));
  jobs_.erase(entry);
}

void EngineCore::finish_all(FinishReason reason, const std::string& error) {
  while (!jobs_.empty()) finish(*jobs_.begin()->second, reason, error);
}

void EngineCore::publish() {
  const SchedulerCounters& scheduled = scheduler_.counters();
  counted_.prompt_tokens_computed = scheduled.prompt_tokens_computed;
  counted_.prompt_tokens_cached = scheduled.prompt_tokens_cached;
  counted_.preemptions = scheduled.preemptions;
  counted_.running = scheduler_.num_running();
  counted_.waiting = scheduler_.num_waiting();
  counted_.waiting_tokens = scheduler_.waiting_tokens();
  counted_.graph_replays = std::uint64_t(runner_.replayed());
  counted_.kv_blocks_held = scheduler_.pool().held();
  {
    const std::lock_guard lock(mutex_);
    counted_.requests_submitted = stats_.requests_submitted;
    stats_ = counted_;
  }
  for (Job* job : writing_) {
    job->writer.write(std::move(*job->outgoing));
    job->outgoing.reset();
  }
  writing_.clear();
  if (ended_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    num_open_ -= std::int64_t(ended_.size());
    const auto now = Clock::now();
    for (std::size_t i = 0; i < ended_.size(); ++i) ends_.note(now);
  }
  ended_.clear();
  idle_.notify_all();
}

}  // namespace isotope::engine
