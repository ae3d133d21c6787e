// isotope profile: where the time of a step goes.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <random>
#include <utility>

#include "cli/commands.h"
#include "cli/measured_engine.h"
#include "cli/model_flags.h"
#include "cli/profile_report.h"
#include "cli/random_requests.h"
#include "cli/report_file.h"
#include "cli/resolve_model.h"
#include "device/gpu.h"
#include "models/model.h"
#include "ops/bandwidth/bandwidth.h"
#include "ops/matrix_rate/matrix_rate.h"
#include "ops/simulated_card.h"
#include "weights/config.h"

namespace isotope::cli {
namespace {

using Clock = engine::RequestTimes::Clock;
using Steps = std::vector<ops::ProfiledStep>;

struct ProfileFlags {
  engine::EngineOptions engine;
  MeasuredRequests requests{.output_len = 32};
  std::int64_t batch_size = 1;
  std::string phase = "both", json, trace;
};

class Run {
 public:
  Run(engine::Engine& engine, const ProfileFlags& flags) : engine_(engine), flags_(flags) {}

  /// A batch of requests from prompt to end. Mean seconds between the tokens of the one that began
  /// last, when all others decode too.
  double once() {
    std::vector<engine::Engine::Ticket> tickets;
    for (std::int64_t i = 0; i < flags_.batch_size; ++i)
      tickets.push_back(
          submit_random(engine_, random_, flags_.requests.input_len, flags_.requests.output_len));
    engine::RequestTimes last;
    for (const engine::Engine::Ticket& ticket : tickets) {
      const engine::RequestTimes times = wait_for_end(ticket);
      if (times.first_token >= last.first_token) last = times;
    }
    const std::chrono::duration<double> time = last.last_token - last.first_token;
    return time.count() / double(flags_.requests.output_len - 1);
  }

 private:
  engine::Engine& engine_;
  const ProfileFlags& flags_;
  std::mt19937_64 random_{1};
};

/// Steps of one phase with all requests in it, over all repetitions, and what one of them must do.
struct Phase {
  Steps steps;
  models::StepShape shape;
};

/// Steps in which every request decodes, but the first: what lies before it belongs to another
/// phase.
Phase decode_steps(const Steps& all, const ProfileFlags& flags) {
  Phase phase;
  double keys = 0;
  std::int64_t context = 0;
  bool first = true;
  for (const ops::ProfiledStep& step : all) {
    const bool decodes = step.decode_rows == flags.batch_size && step.rows == step.decode_rows;
    context = decodes ? context + 1 : 0;
    if (decodes && !first) {
      phase.steps.push_back(step);
      keys += double(flags.batch_size) * double(flags.requests.input_len + context);
    }
    first = !decodes;
  }
  const auto count = std::max<std::int64_t>(1, std::int64_t(phase.steps.size()));
  phase.shape = {flags.batch_size, flags.batch_size, std::int64_t(keys / double(count)),
                 std::int64_t(keys / double(count))};
  return phase;
}

/// Steps that read nothing but prompts. A step's rows are of the prompts in order.
Phase prefill_steps(const Steps& all, const ProfileFlags& flags) {
  Phase phase;
  std::int64_t done = 0, logits = 0;  // rows of the prompt under way
  double rows = 0, keys = 0, pairs = 0;
  for (const ops::ProfiledStep& step : all) {
    if (step.decode_rows > 0) continue;
    phase.steps.push_back(step);
    phase.steps.back().idle_before.reset();  // waiting for requests
    rows += double(step.rows);
    for (std::int64_t left = step.rows; left > 0;) {
      const std::int64_t count = std::min(left, flags.requests.input_len - done);
      keys += double(done + count);
      pairs += double(count) * (double(done) + double(count + 1) / 2);
      done = (done + count) % flags.requests.input_len;
      logits += done == 0;
      left -= count;
    }
  }
  const double count = std::max(1.0, double(phase.steps.size()));
  phase.shape = {std::int64_t(rows / count), std::int64_t(double(logits) / count + 0.5),
                 std::int64_t(keys / count), std::int64_t(pairs / count)};
  return phase;
}

bool is_simulated(device::Device& device) {
  return device.kind() != device::Kind::cpu &&
         static_cast<device::Gpu&>(device).counted_work().has_value();
}

struct Measured {
  bool simulated = false;
  Ceilings ceilings;
};

/// Before the engine takes the memory.
Measured measure_ceilings(const ProfileFlags& flags) {
  const auto device = device::open_device(flags.engine.device, flags.engine.threads);
  if (is_simulated(*device)) return {true, {}};
  const weights::ModelConfig config = weights::read_model_config(flags.engine.model);
  Measured measured;
  {
    ops::Context context(*device, 0);
    measured.ceilings.read_bytes = ops::read_bandwidth(context);
  }
  measured.ceilings.flops =
      ops::matrix_rate(*device, config.text.quantization.fp8 ? DType::f8_e4m3 : DType::bf16);
  return measured;
}

engine::EngineOptions engine_options(const ProfileFlags& flags,
                                     std::shared_ptr<ops::Profiler> profiler) {
  engine::EngineOptions options = flags.requests.engine_options(flags.engine, flags.batch_size);
  options.profiler = std::move(profiler);
  return options;
}

std::vector<Profile> make_profiles(const engine::Engine& engine, const ProfileFlags& flags,
                                   const Steps& steps, double plain_seconds) {
  std::vector<Profile> profiles;
  if (flags.phase != "decode") {
    const Phase phase = prefill_steps(steps, flags);
    profiles.push_back(make_profile("prefill", phase.steps, engine.work(phase.shape)));
    profiles.back().what =
        fmt::format("prompts of {} tokens, {} at a time, {} rows a step", flags.requests.input_len,
                    flags.batch_size, phase.shape.rows);
  }
  if (flags.phase != "prefill") {
    const Phase phase = decode_steps(steps, flags);
    if (phase.steps.empty())
      fail(ErrorCode::invalid_argument,
           "--output-len {}: a batch of {} has no step in which all of its requests decode; give a "
           "longer one",
           flags.requests.output_len, flags.batch_size);
    profiles.push_back(make_profile("decode", phase.steps, engine.work(phase.shape)));
    profiles.back().what =
        fmt::format("batch {}, context {}", flags.batch_size, phase.shape.keys / flags.batch_size);
    profiles.back().plain_seconds = plain_seconds;
  }
  return profiles;
}

/// Seconds of a decode step while nothing is profiled; 0 on a simulated card, which has no time.
double measure_plain(Run& run, const ProfileFlags& flags, bool simulated) {
  if (simulated) return 0;
  run.once();
  double sum = 0;
  for (std::int64_t i = 0; i < flags.requests.num_iters; ++i) sum += run.once();
  return sum / double(flags.requests.num_iters);
}

Steps measure_profiled(Run& run, ops::Profiler& profiler, const ProfileFlags& flags) {
  profiler.enable(true);
  for (std::int64_t i = 0; i < flags.requests.num_iters; ++i) run.once();
  profiler.enable(false);
  return profiler.take();
}

json::object report(const ProfileFlags& flags, const engine::EngineInfo& info,
                    const Measured& measured, const std::vector<Profile>& profiles) {
  json::array phases;
  for (const Profile& profile : profiles) phases.push_back(to_json(profile, measured.ceilings));
  return {{"device", info.device},
          {"simulated", measured.simulated},
          {"model", flags.engine.model.string()},
          {"kv_dtype", info.kv_dtype},
          {"read_bytes_per_s", measured.ceilings.read_bytes},
          {"matrix_flops_per_s", measured.ceilings.flops},
          {"profiles", std::move(phases)}};
}

void print(const ProfileFlags& flags, const engine::EngineInfo& info, const Measured& measured,
           const std::vector<Profile>& profiles) {
  fmt::print("{}\n{}, {} KV cache\n", info.device, flags.engine.model.string(), info.kv_dtype);
  if (!measured.simulated)
    fmt::print(
        "ceilings of this run: reads {:.1f} GB/s, our own products of large matrices {:.2f} "
        "TFLOP/s\n",
        measured.ceilings.read_bytes * 1e-9, measured.ceilings.flops * 1e-12);
  for (const Profile& profile : profiles) {
    if (measured.simulated)
      print_counted(profile, ops::kSimulatedBandwidth);
    else
      print_profile(profile, measured.ceilings);
  }
}

int run_profile(const ProfileFlags& flags) {
  flags.requests.check();
  const Measured measured = measure_ceilings(flags);
  const auto profiler = std::make_shared<ops::Profiler>();
  const auto engine = start_engine(engine_options(flags, profiler));
  Run run(*engine, flags);
  const double plain = measure_plain(run, flags, measured.simulated);
  const Steps steps = measure_profiled(run, *profiler, flags);
  const std::vector<Profile> profiles = make_profiles(*engine, flags, steps, plain);
  if (flags.json != "-") print(flags, engine->info(), measured, profiles);
  if (!flags.json.empty())
    write_report(report(flags, engine->info(), measured, profiles), flags.json);
  if (!flags.trace.empty())
    write_file(flags.trace, chrome_trace(steps, engine->info().device) + "\n", "--trace");
  return 0;
}

constexpr const char* kExplanation = R"(
A step is profiled from mark to mark, so its parts and the time between steps add up to it. On a GPU the marks keep launches from
overlapping and graphs from being used: the step is also timed without them.

MB and GFLOP are what a part must read and compute: weights and live keys and values once, activations ignored. "% ceil." is the
time that this would take at the device's read bandwidth or at the speed of our products of large matrices, whichever is
longer, over the time that it took.

On the simulated gfx1201 (tools/simulated_gpu.sh) bytes are counted instead, and no time is told but that of these bytes at the
card's bandwidth.

Examples:
  isotope profile --model DIR
  isotope profile --model config.json --load-format dummy --device cuda --batch-size 8 --phase decode
  isotope profile --model DIR --trace trace.json      # for https://ui.perfetto.dev)";

}  // namespace

void add_profile(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand(
      "profile", "Show where the time of a step goes, part by part, against the device's ceilings");
  command.footer(kExplanation);
  const auto flags = std::make_shared<ProfileFlags>();
  add_measured_model_flag(command, flags->engine);
  command.add_option("--batch-size", flags->batch_size, "Requests at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 512));
  flags->requests.add_to(command);
  command.add_option("--phase", flags->phase, "What to show")
      ->check(CLI::IsMember({"decode", "prefill", "both"}))
      ->capture_default_str();
  add_report_flag(command, flags->json);
  command
      .add_option("--trace", flags->trace, "Also write every part of every step as a Chrome trace")
      ->type_name("FILE");
  add_engine_flags(command, flags->engine);
  command.callback([flags, &command, &action] {
    flags->requests.max_num_seqs_given = command.count("--max-num-seqs") > 0;
    action = [flags] {
      flags->engine.model = resolve_model(flags->engine.model);
      return run_profile(*flags);
    };
  });
}

}  // namespace isotope::cli
