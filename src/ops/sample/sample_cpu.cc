// Sampling in few passes over the vocabulary: a histogram finds the tokens that top-k and top-p can
// keep, and only those are sorted.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "base/checked.h"
#include "ops/sample/philox.h"
#include "ops/sample/sample_forms.h"

namespace isotope::ops {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Candidate {
  float logit;
  TokenId id;
};

bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// The likeliest token, NaN never; id -1 if no logit is above -infinity.
Candidate find_best(std::span<const float> logits) {
  // Blocks keep the dependency on the running maximum out of the inner loop, which the compiler
  // then vectorizes.
  constexpr std::size_t kBlock = 256;
  Candidate best{kMinusInfinity, -1};
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, logits.size());
    float top = kMinusInfinity;
    for (std::size_t i = begin; i < end; ++i) top = logits[i] > top ? logits[i] : top;
    if (!(top > best.logit)) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (logits[i] != top) continue;
      best = {top, TokenId(i)};
      break;
    }
  }
  return best;
}

// ---- logprobs of the unmodified logits

/// What the logprobs need of the logits before penalties change them.
struct RawStatistics {
  double log_normalizer = 0;  ///< ln Σ exp(logit)
  std::array<Candidate, kMaxTopLogprobs> top;
  std::int64_t count = 0;  ///< of `top`
};

/// Keeps `top` sorted; most tokens fail the first comparison.
void insert_top(RawStatistics& raw, std::int64_t wanted, Candidate candidate) {
  if (raw.count == wanted && !likelier(candidate, raw.top[std::size_t(wanted - 1)])) return;
  std::int64_t place = raw.count < wanted ? raw.count++ : wanted - 1;
  while (place > 0 && likelier(candidate, raw.top[std::size_t(place - 1)])) {
    raw.top[std::size_t(place)] = raw.top[std::size_t(place - 1)];
    --place;
  }
  raw.top[std::size_t(place)] = candidate;
}

RawStatistics raw_statistics(std::span<const float> logits, std::int64_t wanted) {
  RawStatistics raw;
  const Candidate best = find_best(logits);
  if (best.id < 0) return raw;
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > kMinusInfinity)) continue;
    sum += double(std::exp(logits[i] - best.logit));
    if (wanted > 0) insert_top(raw, wanted, {logits[i], TokenId(i)});
  }
  raw.log_normalizer = double(best.logit) + std::log(sum);
  return raw;
}

std::int32_t rank_of(std::span<const float> logits, float logit) {
  std::int32_t larger = 0;
  for (const float other : logits) larger += other > logit ? 1 : 0;
  return 1 + larger;
}

void write_logprobs(const RowInput& row, const RawStatistics& raw, float raw_logit,
                    const RowResult& result) {
  *result.logprob = float(double(raw_logit) - raw.log_normalizer);
  for (std::int64_t i = 0; i < row.params.num_top_logprobs; ++i) {
    const Candidate candidate =
        i < raw.count ? raw.top[std::size_t(i)] : Candidate{kMinusInfinity, -1};
    result.top_ids[i] = candidate.id;
    result.top_logprobs[i] = float(double(candidate.logit) - raw.log_normalizer);
  }
}

// ---- penalties and bias

/// Calls visit(id, count) for every distinct valid id of `ids`, which it sorts.
template <typename Visit>
void for_each_distinct(std::span<TokenId> ids, std::size_t vocab, const Visit& visit) {
  std::sort(ids.begin(), ids.end());
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t end = i;
    while (end < ids.size() && ids[end] == ids[i]) ++end;
    if (ids[i] >= 0 && std::size_t(ids[i]) < vocab) visit(ids[i], end - i);
    i = end;
  }
}

void apply_penalties(const RowInput& row) {
  const SamplingRow& params = row.params;
  std::vector<TokenId> output(row.output.begin(), row.output.end());
  if (params.repetition_penalty != 1.0f) {
    std::vector<TokenId> seen = output;
    seen.insert(seen.end(), row.prompt.begin(), row.prompt.end());
    for_each_distinct(seen, row.logits.size(), [&](TokenId id, std::size_t) {
      float& logit = row.logits[std::size_t(id)];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    });
  }
  if (params.presence_penalty == 0 && params.frequency_penalty == 0) return;
  for_each_distinct(output, row.logits.size(), [&](TokenId id, std::size_t count) {
    row.logits[std::size_t(id)] -=
        params.presence_penalty + params.frequency_penalty * float(count);
  });
}

void apply_bias(const RowInput& row) {
  for (std::size_t i = 0; i < row.bias_ids.size(); ++i) {
    const TokenId id = row.bias_ids[i];
    if (id >= 0 && std::size_t(id) < row.logits.size())
      row.logits[std::size_t(id)] += row.bias_values[i];
  }
}

// ---- choosing

/// Tokens by distance from the best in units of temperature: bins of width 1/32 up to 40, where a
/// probability ratio is e^-40, and one for the rest, whose mass is taken as 0.
class Histogram {
 public:
  static constexpr float kBinsPerUnit = 32;
  static constexpr int kBins = 40 * 32 + 1;

  Histogram(std::span<const float> logits, float best, float inverse_temperature)
      : best_(best), inverse_temperature_(inverse_temperature) {
    for (const float logit : logits) {
      if (!(logit > kMinusInfinity)) continue;
      const float distance = (best - logit) * inverse_temperature;
      const int bin = bin_of(distance);
      ++counts_[std::size_t(bin)];
      if (bin < kBins - 1) masses_[std::size_t(bin)] += double(std::exp(-distance));
    }
  }

  int bin(float logit) const { return bin_of((best_ - logit) * inverse_temperature_); }

  double total_mass() const {
    double sum = 0;
    for (const double mass : masses_) sum += mass;
    return sum;
  }

  /// The first bins that together hold `count` tokens.
  int bins_for_count(std::int64_t count) const {
    std::int64_t sum = 0;
    for (int i = 0; i < kBins; ++i) {
      sum += counts_[std::size_t(i)];
      if (sum >= count) return i + 1;
    }
    return kBins;
  }

  /// The first bins that together hold `mass`; one more, for rounding at the edge.
  int bins_for_mass(double mass) const {
    double sum = 0;
    for (int i = 0; i < kBins; ++i) {
      sum += masses_[std::size_t(i)];
      if (sum >= mass) return std::min(i + 2, kBins);
    }
    return kBins;
  }

 private:
  static int bin_of(float distance) {
    return distance < 40.0f ? int(distance * kBinsPerUnit) : kBins - 1;
  }

  float best_, inverse_temperature_;
  std::array<std::int64_t, kBins> counts_{};
  std::array<double, kBins> masses_{};
};

/// The tokens that top-k, top-p and min-p keep, in `candidates`; returns how many.
std::size_t filter(const RowInput& row, std::span<const float> logits, Candidate best,
                   std::span<Candidate> candidates) {
  const SamplingRow& params = row.params;
  const float inverse_temperature = 1.0f / params.temperature;
  const Histogram histogram(logits, best.logit, inverse_temperature);
  const bool by_count = params.top_k > 0;
  int bins = Histogram::kBins;
  if (by_count)
    bins = histogram.bins_for_count(params.top_k);
  else if (params.top_p < 1)
    bins = histogram.bins_for_mass(double(params.top_p) * histogram.total_mass());
  std::size_t count = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > kMinusInfinity && histogram.bin(logits[i]) < bins)
      candidates[count++] = {logits[i], TokenId(i)};
  std::sort(candidates.begin(), candidates.begin() + std::ptrdiff_t(count), likelier);
  if (by_count) count = std::min(count, std::size_t(params.top_k));
  const auto weight = [&](const Candidate& candidate) {
    return double(std::exp((candidate.logit - best.logit) * inverse_temperature));
  };
  double total = 0;
  if (by_count)
    for (std::size_t i = 0; i < count; ++i) total += weight(candidates[i]);
  else
    total = histogram.total_mass();
  double before = 0;
  std::size_t kept = 0;
  while (kept < count && (kept == 0 || before < double(params.top_p) * total) &&
         weight(candidates[kept]) >= double(params.min_p))
    before += weight(candidates[kept++]);
  return std::max<std::size_t>(kept, 1);
}

/// Gumbel-max: the token with the largest logit / temperature + Gumbel noise.
class GumbelMax {
 public:
  GumbelMax(const SamplingRow& params, Candidate best)
      : params_(params), best_logit_(double(best.logit)) {}

  void offer(Candidate candidate, std::uint32_t bits) {
    const double scaled = (double(candidate.logit) - best_logit_) / double(params_.temperature);
    // -ln(-ln u) ≤ -ln(1 - u) < ln 2 · (leading zeros of 1 - u, plus 1): without a logarithm, this
    // rules out nearly all tokens.
    const double bound = std::numbers::ln2 * double(std::countl_zero(~bits) + 1);
    if (scaled + bound < score_) return;
    const double score = scaled + gumbel(bits);
    if (score > score_ || (score == score_ && candidate.id < token_)) {
      score_ = score;
      token_ = candidate.id;
    }
  }
  TokenId token() const { return token_; }

 private:
  const SamplingRow& params_;
  double best_logit_;
  double score_ = -std::numeric_limits<double>::infinity();
  TokenId token_ = 0;
};

TokenId draw_from_all(const SamplingRow& params, std::span<const float> logits, Candidate best) {
  GumbelMax choice(params, best);
  for (std::size_t begin = 0; begin < logits.size(); begin += 4) {
    const auto bits = token_bits(params.seed, params.counter, std::uint32_t(begin / 4));
    for (std::size_t i = begin; i < std::min(begin + 4, logits.size()); ++i)
      if (logits[i] > kMinusInfinity) choice.offer({logits[i], TokenId(i)}, bits[i - begin]);
  }
  return choice.token();
}

TokenId draw(const SamplingRow& params, std::span<const Candidate> candidates, Candidate best) {
  GumbelMax choice(params, best);
  for (const Candidate& candidate : candidates) {
    const auto bits = token_bits(params.seed, params.counter, std::uint32_t(candidate.id) / 4);
    choice.offer(candidate, bits[std::size_t(candidate.id) % 4]);
  }
  return choice.token();
}

TokenId choose(const RowInput& row, std::byte* scratch) {
  const SamplingRow& params = row.params;
  const std::span<const float> logits = row.logits.first(std::size_t(row.vocab_limit));
  const Candidate best = find_best(logits);
  if (best.id < 0) return 0;
  if (params.temperature < kMinTemperature || params.top_k == 1) return best.id;
  if (params.top_k <= 0 && params.top_p >= 1 && params.min_p <= 0)
    return draw_from_all(params, logits, best);
  const std::span<Candidate> candidates(reinterpret_cast<Candidate*>(scratch), logits.size());
  const std::size_t count = filter(row, logits, best, candidates);
  return draw(params, candidates.first(count), best);
}

}  // namespace

void sample_row_cpu(const RowInput& row, const RowResult& result, std::byte* scratch) {
  RawStatistics raw;
  const bool forced = row.params.forced_token >= 0;
  if (result.logprob) raw = raw_statistics(row.logits, row.params.num_top_logprobs);
  const auto finish = [&](TokenId token, float raw_logit) {
    *result.token = token;
    if (result.logprob) write_logprobs(row, raw, raw_logit, result);
  };
  if (forced) {
    const float logit = row.logits[std::size_t(row.params.forced_token)];
    if (result.logprob) *result.rank = rank_of(row.logits, logit);
    finish(row.params.forced_token, logit);
    return;
  }
  const bool modified = !row.bias_ids.empty() || !row.output.empty() || !row.prompt.empty();
  std::vector<float> original;  // only rows that ask for logprobs of modified logits need a copy
  if (modified) {
    if (result.logprob) original.assign(row.logits.begin(), row.logits.end());
    apply_penalties(row);
    apply_bias(row);
  }
  const TokenId token = choose(row, scratch);
  const std::span<const float> unmodified =
      original.empty() ? std::span<const float>(row.logits) : std::span<const float>(original);
  if (result.logprob) *result.rank = rank_of(unmodified, unmodified[std::size_t(token)]);
  finish(token, unmodified[std::size_t(token)]);
}

std::size_t sample_row_scratch(std::int64_t vocab) {
  return round_up(std::size_t(vocab) * sizeof(Candidate), std::size_t(64));
}

}  // namespace isotope::ops
