#include "ops/tuning/sweep.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"
#include "ops/gpu/kernel_library.h"
#include "ops/simulated_card.h"

namespace isotope::ops {
namespace {

/// The values of a candidate hold while it lives.
class OnTrial {
 public:
  OnTrial(Context& context, const SweepResult& result, const TuningValues& values)
      : tuning_(context.kernels().tuning()) {
    tuning_.begin_trial(result.op, result.shape, values);
  }
  ~OnTrial() { tuning_.end_trial(); }
  OnTrial(const OnTrial&) = delete;
  OnTrial& operator=(const OnTrial&) = delete;

 private:
  Tuning& tuning_;
};

class Prepared {
 public:
  explicit Prepared(TuningCase& tried) : tried_(tried) { tried.prepare(); }
  ~Prepared() { tried_.release(); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

 private:
  TuningCase& tried_;
};

SweepResult start(const TuningCase& tried) {
  TuningSpace space = tried.space();
  SweepResult result{tried.name(), space.op, space.shape, tried.bytes(), tried.flops(), {}};
  result.trials.push_back({space.current, 0, {}});
  for (TuningValues& values : space.candidates)
    if (values != space.current) result.trials.push_back({std::move(values), 0, {}});
  return result;
}

std::vector<jit::Unit> units_of(Context& context, TuningCase& tried, const SweepResult& result,
                                const TuningValues& values) {
  const OnTrial trial(context, result, values);
  context.kernels().start_recording();
  try {
    tried.call();
  } catch (...) {
    context.kernels().stop_recording();  // or the next candidate's launches would only be noted
    throw;
  }
  return context.kernels().stop_recording();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

bool same_bits(std::string_view op, const TuningValues& a, const TuningValues& b) {
  const std::vector<TuningKey> known = known_tuning_keys();
  const auto decides = [&](const std::pair<std::string, std::int64_t>& value) {
    return std::any_of(known.begin(), known.end(), [&](const TuningKey& key) {
      return key.op == op && key.key == value.first && key.decides_bits;
    });
  };
  return std::all_of(a.begin(), a.end(), [&](const auto& value) {
    return !decides(value) || std::find(b.begin(), b.end(), value) != b.end();
  });
}

void Sweep::build(const TuningCases& cases, const Progress& progress) {
  std::vector<jit::Unit> units;
  for (const auto& tried : cases) {
    const SweepResult result = start(*tried);
    for (const TrialResult& trial : result.trials)
      for (jit::Unit& unit : units_of(context_, *tried, result, trial.values))
        units.push_back(std::move(unit));
  }
  try {
    context_.kernels().build(units, progress);
  } catch (const Error&) {
    // One that does not compile ends this; run() tells which, and builds the others.
  }
}

std::string Sweep::check(TuningCase& tried, const SweepResult& result, const TuningValues& values,
                         std::vector<std::byte>& reference) {
  try {
    context_.kernels().build(units_of(context_, tried, result, values));
    const OnTrial trial(context_, result, values);
    std::vector<std::byte> output = tried.output();
    if (const double error = tried.error(output); !(error <= 1))
      return fmt::format("wrong result: off by {:.3g} times what rounding explains", error);
    if (reference.empty()) {
      reference = std::move(output);
    } else if (same_bits(result.op, values, result.trials.front().values)) {
      if (output != reference) return "wrong result: not the bits of the table's choice";
    } else if (const double off = tried.difference(reference, output); !(off <= 1)) {
      return fmt::format(
          "wrong result: {:.3g} times as far from the table's choice as another order of sums "
          "explains",
          off);
    }
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

SweepResult Sweep::run(TuningCase& tried) {
  SweepResult result = start(tried);
  const Prepared prepared(tried);
  std::vector<std::byte> reference;
  for (TrialResult& trial : result.trials) {
    trial.rejected = check(tried, result, trial.values, reference);
    if (reference.empty()) return result;
  }
  if (context_.kernels().gpu().counted_work())
    count(tried, result);
  else
    time(tried, result);
  return result;
}

/// A candidate under time.
struct Sweep::Candidate {
  TrialResult* trial;
  std::unique_ptr<device::Graph> graph;
  std::int64_t calls = 0;
  std::vector<double> times{};  // of a call
};

void Sweep::time(TuningCase& tried, SweepResult& result) {
  // After so many rounds those that are so much slower than the best one drop out.
  constexpr std::pair<int, double> kDrops[] = {{2, 1.2}, {4, 1.06}};
  device::Gpu& gpu = context_.kernels().gpu();
  std::vector<Candidate> running;
  for (TrialResult& trial : result.trials) {
    if (!trial.rejected.empty()) continue;
    const OnTrial on_trial(context_, result, trial.values);
    gpu.begin_capture();
    const std::int64_t calls = tried.call_often();
    running.push_back({&trial, gpu.end_capture(), calls});
    gpu.launch(*running.back().graph);
  }
  const auto begin = gpu.create_event(), end = gpu.create_event();
  for (int round = 0; round < rounds_; ++round) {
    for (std::size_t i = 0; i < running.size(); ++i) {
      // Nobody always follows the same one.
      Candidate& candidate =
          running[(i * (round % 2 ? running.size() - 1 : 1) + std::size_t(round)) % running.size()];
      gpu.record(*begin);
      gpu.launch(*candidate.graph);
      gpu.record(*end);
      candidate.times.push_back(double(gpu.elapsed_ms(*begin, *end)) * 1e-3 /
                                double(candidate.calls));
    }
    for (const auto& [after, factor] : kDrops) {
      if (round + 1 != after) continue;
      double best = median(running.front().times);
      for (const Candidate& candidate : running) best = std::min(best, median(candidate.times));
      for (Candidate& candidate : running) candidate.trial->seconds = median(candidate.times);
      std::erase_if(running, [&](const Candidate& candidate) {
        return candidate.trial != &result.trials.front() && median(candidate.times) > factor * best;
      });
    }
  }
  for (const Candidate& candidate : running) candidate.trial->seconds = median(candidate.times);
}

void Sweep::count(TuningCase& tried, SweepResult& result) {
  device::Gpu& gpu = context_.kernels().gpu();
  for (TrialResult& trial : result.trials) {
    if (!trial.rejected.empty()) continue;
    const OnTrial on_trial(context_, result, trial.values);
    const device::CountedWork before = *gpu.counted_work();
    tried.call();
    gpu.stream().synchronize();
    const device::CountedWork after = *gpu.counted_work();
    trial.seconds =
        std::max(double(after.loaded_bytes - before.loaded_bytes) / kSimulatedBandwidth,
                 double(after.instructions - before.instructions) / kSimulatedIssueRate);
  }
}

}  // namespace isotope::ops
