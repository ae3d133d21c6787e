// How fast the whole engine decodes and prefills, against the memory bandwidth measured in the same
// run.
//
//   bench_decode [MODEL_DIR] [--threads N] [--prompt N] [--new N] [--batch N] [--kv bf16|fp8]
//   [--json]
//
// Weights are random (--load-format dummy), so only a config.json is needed. Bytes per token count
// each weight of the step and each live KV entry once; activations are left out.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "ops/bandwidth/bandwidth.h"

#ifndef ISOTOPE_BENCH_MODEL
#define ISOTOPE_BENCH_MODEL "bench/models/qwen3-0.6b-fp8"
#endif

namespace {

using namespace isotope;

struct Flags {
  std::string model = ISOTOPE_BENCH_MODEL;
  int threads = 0;
  std::int64_t prompt_tokens = 512, new_tokens = 64, batch = 1;
  engine::KvDtype kv = engine::KvDtype::bf16;
  bool json = false;
};

std::int64_t parse_number(std::string_view flag, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    fail(ErrorCode::invalid_argument, "{} {}: expected a number", flag, text);
  return value;
}

Flags parse_flags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto value = [&] {
      if (i + 1 >= argc) fail(ErrorCode::invalid_argument, "{} needs a value", flag);
      return std::string_view(argv[++i]);
    };
    if (flag == "--threads")
      flags.threads = int(parse_number(flag, value()));
    else if (flag == "--prompt")
      flags.prompt_tokens = parse_number(flag, value());
    else if (flag == "--new")
      flags.new_tokens = parse_number(flag, value());
    else if (flag == "--batch")
      flags.batch = parse_number(flag, value());
    else if (flag == "--kv")
      flags.kv = value() == "fp8" ? engine::KvDtype::fp8 : engine::KvDtype::bf16;
    else if (flag == "--json")
      flags.json = true;
    else if (!flag.starts_with("-"))
      flags.model = flag;
    else
      fail(ErrorCode::invalid_argument, "unknown flag {}", flag);
  }
  return flags;
}

struct Timing {
  double prefill_seconds = 0;  ///< submit to the first token of the last request
  double step_seconds = 0;     ///< between tokens, median over the requests' means
};

/// Runs `batch` requests of random prompts at once.
Timing run_batch(engine::Engine& engine, const Flags& flags, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<TokenId> token(0, TokenId(engine.info().vocab_size - 1));
  std::vector<engine::Engine::Ticket> tickets;
  for (std::int64_t i = 0; i < flags.batch; ++i) {
    engine::Request request{.id = fmt::format("bench-{}", i)};
    for (std::int64_t j = 0; j < flags.prompt_tokens; ++j) request.prompt.push_back(token(random));
    request.params.temperature = 0;
    request.params.ignore_eos = true;
    request.params.max_tokens = flags.new_tokens;
    tickets.push_back(engine.submit(std::move(request)));
  }
  Timing timing;
  std::vector<double> steps;
  for (const engine::Engine::Ticket& ticket : tickets) {
    engine::Progress progress;
    do progress = ticket.answer->wait();
    while (!progress.finished);
    if (progress.finished == engine::FinishReason::error)
      fail(ErrorCode::internal, "a request failed: {}", progress.error);
    const engine::RequestTimes& times = progress.times;
    const std::chrono::duration<double> first = times.first_token - times.submitted;
    const std::chrono::duration<double> rest = times.last_token - times.first_token;
    timing.prefill_seconds = std::max(timing.prefill_seconds, first.count());
    if (flags.new_tokens > 1) steps.push_back(rest.count() / double(flags.new_tokens - 1));
  }
  std::sort(steps.begin(), steps.end());
  if (!steps.empty()) timing.step_seconds = steps[steps.size() / 2];
  return timing;
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) return std::size_t(std::stoll(line.substr(6))) << 10;
  return 0;
}

int run(const Flags& flags) {
  engine::EngineOptions options;
  options.model = flags.model;
  options.threads = flags.threads;
  options.load_format = engine::LoadFormat::dummy;
  options.kv_dtype = flags.kv;
  options.max_model_len = flags.prompt_tokens + flags.new_tokens;
  options.max_num_seqs = std::max<std::int64_t>(flags.batch, 1);
  options.prefix_caching = false;
  engine::Engine engine(options);
  const engine::EngineInfo& info = engine.info();

  run_batch(engine, flags, 1);  // warm up
  Timing best = run_batch(engine, flags, 2);
  for (std::uint64_t seed = 3; seed < 6; ++seed) {
    const Timing timing = run_batch(engine, flags, seed);
    best.prefill_seconds = std::min(best.prefill_seconds, timing.prefill_seconds);
    best.step_seconds = std::min(best.step_seconds, timing.step_seconds);
  }
  const std::size_t resident = resident_bytes();
  ThreadPool pool(flags.threads);
  const double bandwidth = ops::cpu_read_bandwidth(pool);

  const double mean_context = double(flags.prompt_tokens) + double(flags.new_tokens) / 2;
  const double kv_per_token = double(info.kv_bytes) / double(info.num_kv_blocks * info.block_size);
  const double step_bytes =
      double(info.streamed_weight_bytes) + double(flags.batch) * mean_context * kv_per_token;
  const double achieved = step_bytes / best.step_seconds;
  const double prefill_rate = double(flags.batch * flags.prompt_tokens) / best.prefill_seconds;
  const double decode_rate = double(flags.batch) / best.step_seconds;
  const std::size_t allowed = info.weight_bytes + info.kv_bytes + (std::size_t(300) << 20);
  if (flags.json) {
    fmt::print(
        "{{\"device\": \"{}\", \"batch\": {}, \"prompt_tokens\": {}, \"new_tokens\": {}, "
        "\"prefill_tokens_per_s\": {:.1f}, \"decode_tokens_per_s\": {:.2f}, \"step_ms\": {:.3f}, "
        "\"bytes_per_step\": {:.0f}, \"achieved_gb_s\": {:.2f}, \"read_gb_s\": {:.2f}, "
        "\"bandwidth_ratio\": {:.4f}, \"resident_bytes\": {}, \"allowed_bytes\": {}}}\n",
        info.device, flags.batch, flags.prompt_tokens, flags.new_tokens, prefill_rate, decode_rate,
        best.step_seconds * 1e3, step_bytes, achieved / 1e9, bandwidth / 1e9, achieved / bandwidth,
        resident, allowed);
    return 0;
  }
  fmt::print("{}\n{} with random weights, {} KV cache, batch {}, {} prompt + {} new tokens\n\n",
             info.device, flags.model, info.kv_dtype, flags.batch, flags.prompt_tokens,
             flags.new_tokens);
  fmt::print("  prefill                 {:10.1f} tok/s\n", prefill_rate);
  fmt::print("  decode                  {:10.2f} tok/s   ({:.2f} ms a step)\n", decode_rate,
             best.step_seconds * 1e3);
  fmt::print("  bytes per token         {:10.1f} MB\n", step_bytes / double(flags.batch) / 1e6);
  fmt::print("  read from memory        {:10.2f} GB/s\n", achieved / 1e9);
  fmt::print("  streaming-read ceiling  {:10.2f} GB/s\n", bandwidth / 1e9);
  fmt::print("  of the ceiling          {:10.1f} %\n", 100 * achieved / bandwidth);
  fmt::print("  resident memory         {:10.1f} MB   (weights + KV + 300 MiB = {:.1f} MB)\n",
             double(resident) / 1e6, double(allowed) / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse_flags(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_decode: {}\n", error.what());
    return 1;
  }
}
