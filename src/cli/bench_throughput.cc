#include "cli/bench_throughput.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "cli/bench/dataset_flags.h"
#include "cli/interrupt_guard.h"
#include "cli/measured_engine.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

using Clock = engine::RequestTimes::Clock;

struct Throughput {
  std::int64_t requests = 0, prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  double seconds = 0;  ///< from the first submission to the last token
  std::uint64_t steps = 0, preemptions = 0;
  bool interrupted = false;
};

class ThroughputRun {
 public:
  ThroughputRun(engine::Engine& engine, const ThroughputFlags& flags)
      : engine_(engine), flags_(flags) {}

  Throughput measure(const std::vector<BenchPrompt>& prompts) {
    const auto begin = Clock::now();
    for (const BenchPrompt& prompt : prompts) submit(prompt);
    watch(std::int64_t(prompts.size()), begin);
    Throughput result;
    result.interrupted = interrupted_;
    auto end = begin;
    for (std::size_t i = 0; i < tickets_.size(); ++i)
      end = std::max(end, add(i, prompts[i], result));
    result.seconds = std::chrono::duration<double>(end - begin).count();
    const engine::EngineStats stats = engine_.stats();
    result.steps = stats.steps;
    result.preemptions = stats.preemptions;
    return result;
  }

 private:
  void submit(const BenchPrompt& prompt) {
    engine::Request request{.id = "bench", .prompt = prompt.tokens};
    request.params.temperature = float(flags_.temperature);
    request.params.ignore_eos = flags_.ignore_eos;
    request.params.max_tokens = prompt.output_len;
    tickets_.push_back(engine_.submit(std::move(request)));
  }

  /// Until all requests have ended; Ctrl-C ends them.
  void watch(std::int64_t total, Clock::time_point begin) {
    const InterruptGuard guard;
    ProgressBar bar("Generating");
    for (;;) {
      const engine::EngineStats stats = engine_.stats();
      const auto ended = std::int64_t(stats.requests_finished + stats.requests_cancelled);
      if (ended >= total) return;
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      bar.update(ended, total,
                 fmt::format("{:.1f} tok/s, {} run", double(stats.generated_tokens) / seconds,
                             stats.running));
      if (!interrupted_ && InterruptGuard::interrupted()) {
        interrupted_ = true;
        for (const auto& ticket : tickets_) engine_.cancel(ticket.number);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  /// Adds request i to `result` if it came to its end; returns when that was.
  Clock::time_point add(std::size_t i, const BenchPrompt& prompt, Throughput& result) {
    std::int64_t tokens = 0;
    for (;;) {
      const engine::Progress progress = tickets_[i].answer->wait();
      tokens += std::int64_t(progress.tokens.size());
      if (!progress.finished) continue;
      if (progress.finished == engine::FinishReason::error)
        fail(ErrorCode::internal, "a request failed: {}", progress.error);
      if (progress.finished == engine::FinishReason::cancelled) return {};
      ++result.requests;
      result.prompt_tokens += std::int64_t(prompt.tokens.size());
      result.cached_tokens += progress.num_cached_prompt_tokens;
      result.output_tokens += tokens;
      return progress.times.last_token;
    }
  }

  engine::Engine& engine_;
  const ThroughputFlags& flags_;
  std::vector<engine::Engine::Ticket> tickets_;
  bool interrupted_ = false;
};

/// Random prompts are ids, so that a configuration alone will do; files need the model's tokenizer.
Dataset load_dataset(const ThroughputFlags& flags) {
  if (flags.dataset.kind == DatasetKind::random) return {};
  if (!std::filesystem::is_directory(flags.engine.model))
    fail(ErrorCode::invalid_argument,
         "--dataset-name {}: needs the model's tokenizer, so --model must be a folder with one",
         name_of(flags.dataset.kind));
  return make_dataset(flags.dataset, text::Tokenizer::load(flags.engine.model).get());
}

json::object to_json(const Throughput& result, const ThroughputFlags& flags,
                     const engine::EngineInfo& info) {
  const double total = double(result.prompt_tokens + result.output_tokens);
  // The first four as vLLM's `bench throughput` names them.
  return {{"elapsed_time", result.seconds},
          {"num_requests", result.requests},
          {"total_num_tokens", result.prompt_tokens + result.output_tokens},
          {"requests_per_second", double(result.requests) / result.seconds},
          {"tokens_per_second", total / result.seconds},
          {"prompt_tokens", result.prompt_tokens},
          {"cached_prompt_tokens", result.cached_tokens},
          {"output_tokens", result.output_tokens},
          {"prompt_tokens_per_second", double(result.prompt_tokens) / result.seconds},
          {"output_tokens_per_second", double(result.output_tokens) / result.seconds},
          {"steps", result.steps},
          {"preemptions", result.preemptions},
          {"interrupted", result.interrupted},
          {"model", flags.engine.model.string()},
          {"dataset", name_of(flags.dataset.kind)},
          {"device", info.device},
          {"kv_dtype", info.kv_dtype},
          {"kv_tokens", info.num_kv_blocks * info.block_size},
          {"max_num_seqs", info.max_num_seqs},
          {"max_num_batched_tokens", info.max_num_batched_tokens}};
}

void print_table(const Throughput& result, const ThroughputFlags& flags,
                 const engine::EngineInfo& info) {
  fmt::print("{}\n{}: {} KV cache for {} tokens, at most {} sequences and {} tokens a step\n",
             info.device, flags.engine.model.string(), info.kv_dtype,
             info.num_kv_blocks * info.block_size, info.max_num_seqs, info.max_num_batched_tokens);
  if (result.interrupted) fmt::print("interrupted: what had not ended is not counted\n");
  fmt::print("\n{} requests in {:.2f} s, {} steps, {} preemptions\n\n", result.requests,
             result.seconds, result.steps, result.preemptions);
  fmt::print("{:<10} {:>12} {:>12}\n", "", "tokens", "tok/s");
  const auto row = [&](std::string_view name, std::int64_t tokens) {
    fmt::print("{:<10} {:>12} {:>12.1f}\n", name, tokens, double(tokens) / result.seconds);
  };
  row("prompt", result.prompt_tokens);
  row("output", result.output_tokens);
  row("total", result.prompt_tokens + result.output_tokens);
  fmt::print("{:<10} {:>12} {:>12.3f}\n", "requests", result.requests,
             double(result.requests) / result.seconds);
  if (result.cached_tokens > 0)
    fmt::print(
        "\nnote: {} of the prompt tokens came from the prefix cache "
        "(--no-enable-prefix-caching computes all)\n",
        result.cached_tokens);
}

}  // namespace

int run_throughput(const ThroughputFlags& flags) {
  Dataset dataset = load_dataset(flags);
  const auto engine = start_engine(flags.engine);
  if (dataset.prompts.empty()) dataset = random_tokens(flags.dataset, engine->info().vocab_size);
  const Throughput result = ThroughputRun(*engine, flags).measure(dataset.prompts);
  if (result.requests == 0) fail(ErrorCode::cancelled, "interrupted before a request had ended");
  if (flags.json != "-") print_table(result, flags, engine->info());
  write_report(to_json(result, flags, engine->info()), flags.json);
  return result.interrupted ? 130 : 0;
}

}  // namespace isotope::cli
