#include "cli/bench_latency.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <numeric>
#include <random>

#include "base/json.h"
#include "cli/bench/statistics.h"
#include "cli/model_flags.h"
#include "cli/random_requests.h"
#include "cli/report_file.h"
#include "models/model.h"
#include "ops/bandwidth/bandwidth.h"
#include "weights/config.h"

namespace isotope::cli {
namespace {

using Clock = engine::RequestTimes::Clock;
using Times = std::vector<Clock::time_point>;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The value below which `part` of the values lie.
double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return percentile(values, 100 * part);
}

/// What is counted for every iteration of one batch size.
struct Samples {
  std::vector<double> ttft, prefill, steps, contexts;
};

class Bench {
 public:
  Bench(engine::Engine& engine, const LatencyFlags& flags) : engine_(engine), flags_(flags) {}

  Samples measure(std::int64_t batch) {
    for (std::int64_t i = 0; i < flags_.warmup; ++i) {
      Samples ignored;
      run(batch, ignored);
    }
    Samples samples;
    for (std::int64_t i = 0; i < flags_.requests.num_iters; ++i) run(batch, samples);
    if (samples.steps.empty())
      fail(ErrorCode::invalid_argument,
           "--output-len {}: a batch of {} has no step in which all of its requests decode; give a "
           "longer one",
           flags_.requests.output_len, batch);
    return samples;
  }

 private:
  /// The end of a request; `tokens`: when each of its tokens came. Tokens that came at once share
  /// the time since those before them.
  static engine::RequestTimes wait(const engine::Engine::Ticket& ticket, Times* tokens = nullptr) {
    return wait_for_end(ticket, [tokens](const engine::Progress& progress) {
      if (!tokens) return;
      const auto now = progress.times.last_token;
      const auto count = std::int64_t(progress.tokens.size());
      const auto before = tokens->empty() ? now : tokens->back();
      for (std::int64_t i = 1; i <= count; ++i)
        tokens->push_back(before + (now - before) * i / count);
    });
  }

  void run(std::int64_t batch, Samples& samples) {
    std::vector<engine::Engine::Ticket> tickets;
    for (std::int64_t i = 0; i < batch; ++i)
      tickets.push_back(
          submit_random(engine_, random_, flags_.requests.input_len, flags_.requests.output_len));
    // The first request decodes in every step that any other does, so its tokens tell the steps.
    Times steps;
    std::vector<engine::RequestTimes> times = {wait(tickets[0], &steps)};
    for (std::size_t i = 1; i < tickets.size(); ++i) times.push_back(wait(tickets[i]));

    Clock::time_point all_decode = times[0].first_token, first_end = times[0].last_token;
    for (const engine::RequestTimes& request : times) {
      all_decode = std::max(all_decode, request.first_token);
      first_end = std::min(first_end, request.last_token);
      samples.ttft.push_back(seconds(request.first_token - request.submitted));
    }
    samples.prefill.push_back(seconds(all_decode - times[0].submitted));
    std::int64_t timed = 0;
    for (std::size_t i = 1; i < steps.size(); ++i)
      if (steps[i - 1] >= all_decode && steps[i] <= first_end) {
        samples.steps.push_back(seconds(steps[i] - steps[i - 1]));
        ++timed;
      }
    // Tokens that each request has when the timed steps begin, and half of those that they add.
    double context = 0;
    for (const engine::RequestTimes& request : times)
      context += double(std::count_if(steps.begin(), steps.end(), [&](Clock::time_point step) {
        return step >= request.first_token && step <= all_decode;
      }));
    samples.contexts.push_back(double(flags_.requests.input_len) + context / double(batch) +
                               double(timed) / 2);
  }

  engine::Engine& engine_;
  const LatencyFlags& flags_;
  std::mt19937_64 random_{1};
};

/// 2 operations a weight and token in the layers, the head for one token of each prompt, and causal
/// attention.
double prefill_flops(const models::ModelInfo& model, std::int64_t batch, std::int64_t tokens) {
  const double q = double(model.num_heads * model.head_dim);
  const double kv = double(model.num_kv_heads * model.head_dim);
  const double h = double(model.hidden_size), inner = double(model.intermediate_size);
  const double layer = h * (q + 2 * kv) + q * h + 3 * h * inner, n = double(tokens);
  const double attention = 4 * q * n * (n + 1) / 2;
  return double(batch) * (double(model.num_layers) * (2 * layer * n + attention) +
                          2 * h * double(model.vocab_size));
}

LatencyResult summarize(const Samples& samples, std::int64_t batch, const LatencyFlags& flags,
                        const engine::EngineInfo& info, const models::ModelInfo& model) {
  LatencyResult result;
  result.batch = batch;
  result.steps = std::int64_t(samples.steps.size());
  result.ttft = quantile(samples.ttft, 0.5);
  result.prefill = quantile(samples.prefill, 0.5);
  result.tpot_mean =
      std::accumulate(samples.steps.begin(), samples.steps.end(), 0.0) / double(result.steps);
  result.tpot_median = quantile(samples.steps, 0.5);
  result.tpot_p99 = quantile(samples.steps, 0.99);
  result.mean_context = std::accumulate(samples.contexts.begin(), samples.contexts.end(), 0.0) /
                        double(samples.contexts.size());
  const double kv_token = double(info.kv_bytes) / double(info.num_kv_blocks * info.block_size);
  result.step_bytes =
      double(info.streamed_weight_bytes) + double(batch) * result.mean_context * kv_token;
  result.prefill_flops = prefill_flops(model, batch, flags.requests.input_len);
  return result;
}

double measure_bandwidth(const LatencyFlags& flags) {
  // Before the engine takes the memory.
  const auto device = device::open_device(flags.engine.device, flags.engine.threads);
  ops::Context context(*device, 0);
  return ops::read_bandwidth(context);
}

json::object to_json(const LatencyResult& result, double bandwidth) {
  const double floor = result.step_bytes / bandwidth;
  return {{"batch", result.batch},
          {"timed_steps", result.steps},
          {"ttft_ms", result.ttft * 1e3},
          {"prefill_ms", result.prefill * 1e3},
          {"prefill_tflops", result.prefill_flops / result.prefill * 1e-12},
          {"tpot_mean_ms", result.tpot_mean * 1e3},
          {"tpot_median_ms", result.tpot_median * 1e3},
          {"tpot_p99_ms", result.tpot_p99 * 1e3},
          {"output_tokens_per_s", double(result.batch) / result.tpot_mean},
          {"mean_context", result.mean_context},
          {"bytes_per_step", result.step_bytes},
          {"floor_ms", floor * 1e3},
          {"ratio_to_floor", result.tpot_median / floor},
          {"bandwidth_part", floor / result.tpot_median}};
}

json::object to_json(const engine::EngineInfo& info) {
  const engine::StartTimes& start = info.start;
  json::array graphs;
  for (const std::int64_t size : info.graph_sizes) graphs.push_back(size);
  return {{"weight_bytes", info.weight_bytes},
          {"host_weight_bytes", info.host_weight_bytes},
          {"streamed_weight_bytes", info.streamed_weight_bytes},
          {"kv_tokens", info.num_kv_blocks * info.block_size},
          {"kv_dtype", info.kv_dtype},
          {"workspace_bytes", info.workspace_bytes},
          {"max_num_batched_tokens", info.max_num_batched_tokens},
          {"graph_sizes", graphs},
          {"start", json::object{{"total_s", start.total_seconds},
                                 {"load_s", start.load_seconds},
                                 {"kernels_s", start.kernels_seconds},
                                 {"kernels", start.kernels},
                                 {"kernels_compiled", start.kernels_compiled},
                                 {"capture_s", start.capture_seconds}}}};
}

void print_head(const LatencyFlags& flags, const engine::EngineInfo& info, double bandwidth) {
  const engine::StartTimes& start = info.start;
  fmt::print(
      "{}\n{}: {} of weights, {} a step; {} KV cache for {} tokens; prompts of {}, answers of {}\n",
      info.device, flags.engine.model.string(),
      format_bytes(info.weight_bytes + info.host_weight_bytes),
      format_bytes(info.streamed_weight_bytes), info.kv_dtype, info.num_kv_blocks * info.block_size,
      flags.requests.input_len, flags.requests.output_len);
  fmt::print("streaming-read bandwidth of this run: {:.1f} GB/s\n", bandwidth * 1e-9);
  fmt::print("start: {:.2f} s (weights {:.2f} s", start.total_seconds, start.load_seconds);
  if (start.kernels > 0)
    fmt::print("; {} kernel units {:.2f} s, {} compiled, {} from the cache; {} graphs {:.2f} s",
               start.kernels, start.kernels_seconds, start.kernels_compiled,
               start.kernels - std::min(start.kernels, start.kernels_compiled),
               info.graph_sizes.size(), start.capture_seconds);
  fmt::print(")\n\n{:>5} {:>9} {:>9} {:>26} {:>10} {:>9} {:>8} {:>7} {:>6}\n", "batch", "TTFT ms",
             "TFLOP/s", "TPOT ms: mean median p99", "tok/s", "MB/step", "floor ms", "x floor",
             "% bw");
}

void print_row(const LatencyResult& result, double bandwidth) {
  const double floor = result.step_bytes / bandwidth;
  fmt::print(
      "{:>5} {:>9.2f} {:>9.2f} {:>10.3f} {:>7.3f} {:>7.3f} {:>10.1f} {:>9.1f} {:>8.3f} {:>7.3f} "
      "{:>6.1f}\n",
      result.batch, result.ttft * 1e3, result.prefill_flops / result.prefill * 1e-12,
      result.tpot_mean * 1e3, result.tpot_median * 1e3, result.tpot_p99 * 1e3,
      double(result.batch) / result.tpot_mean, result.step_bytes * 1e-6, floor * 1e3,
      result.tpot_median / floor, 100 * floor / result.tpot_median);
  std::fflush(stdout);
}

void check(const LatencyFlags& flags) {
  flags.requests.check();
  for (const std::int64_t batch : flags.batch_sizes)
    if (batch < 1 || batch > 512)
      fail(ErrorCode::invalid_argument, "--batch-size {}: expected numbers from 1 to 512", batch);
}

}  // namespace

int run_latency(const LatencyFlags& flags) {
  check(flags);
  const double bandwidth = measure_bandwidth(flags);
  const std::int64_t largest =
      *std::max_element(flags.batch_sizes.begin(), flags.batch_sizes.end());
  const auto engine = start_engine(flags.requests.engine_options(flags.engine, largest));
  const engine::EngineInfo& info = engine->info();
  const models::ModelInfo model =
      models::plan_model(weights::read_model_config(flags.engine.model), {}).info;

  const bool table = flags.json != "-";
  if (table) print_head(flags, info, bandwidth);
  json::array results;
  for (const std::int64_t batch : flags.batch_sizes) {
    const LatencyResult result =
        summarize(Bench(*engine, flags).measure(batch), batch, flags, info, model);
    if (table) print_row(result, bandwidth);
    results.push_back(to_json(result, bandwidth));
  }
  if (flags.json.empty()) return 0;
  json::object report = to_json(info);
  report["device"] = info.device;
  report["model"] = flags.engine.model.string();
  report["input_len"] = flags.requests.input_len;
  report["output_len"] = flags.requests.output_len;
  report["read_bytes_per_s"] = bandwidth;
  report["results"] = std::move(results);
  write_report(report, flags.json);
  return 0;
}

}  // namespace isotope::cli
