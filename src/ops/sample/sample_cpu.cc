// Sampling in few passes over the vocabulary. What top-k, top-p and min-p keep is one threshold
// (and a last id among equals at the threshold), found by selection; nothing of the size of the
// vocabulary is sorted.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "ops/sample/philox.h"
#include "ops/sample/sample_forms.h"
#include "ops/sample/sample_kernel.h"

namespace isotope::ops {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr Cut kKeepAll = {kLowest, std::numeric_limits<TokenId>::max()};

/// Scratch of one row: [vocab] floats or ids three times. Counts of penalties and ids of candidates
/// are never needed at once.
struct Scratch {
  std::span<float> original, values;
  std::span<TokenId> ids;

  Scratch(std::byte* data, std::size_t vocab)
      : original(reinterpret_cast<float*>(data), vocab),
        values(original.data() + vocab, vocab),
        ids(reinterpret_cast<TokenId*>(values.data() + vocab), vocab) {}
};

/// The lowest id with this value.
TokenId find(std::span<const float> logits, float value) {
  return TokenId(std::find(logits.begin(), logits.end(), value) - logits.begin());
}

// ---- penalties and bias

void apply_penalty(const SamplingRow& params, std::int32_t outputs, float& logit) {
  logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  if (outputs > 0) logit -= params.presence_penalty + params.frequency_penalty * float(outputs);
}

/// `counts` is scratch: 2 for each time in the output, plus 1 if in the prompt.
void apply_penalties(const RowInput& row, std::span<std::int32_t> counts) {
  if (row.prompt.empty() && row.output.empty()) return;
  std::fill(counts.begin(), counts.end(), 0);
  const auto valid = [&](TokenId id) { return id >= 0 && std::size_t(id) < counts.size(); };
  for (const TokenId id : row.prompt)
    if (valid(id)) counts[std::size_t(id)] = 1;
  for (const TokenId id : row.output)
    if (valid(id)) counts[std::size_t(id)] += 2;
  for (const std::span<const TokenId> ids : {row.prompt, row.output}) {
    for (const TokenId id : ids) {
      if (!valid(id) || counts[std::size_t(id)] == 0) continue;
      apply_penalty(row.params, counts[std::size_t(id)] / 2, row.logits[std::size_t(id)]);
      counts[std::size_t(id)] = 0;
    }
  }
}

void apply_bias(const RowInput& row) {
  for (std::size_t i = 0; i < row.bias_ids.size(); ++i) {
    const TokenId id = row.bias_ids[i];
    if (id >= 0 && std::size_t(id) < row.logits.size())
      row.logits[std::size_t(id)] += row.bias_values[i];
  }
}

// ---- masks

void apply_mask(const RowInput& row) {
  if (row.mask.empty()) return;
  const std::size_t vocab = row.logits.size();
  for (std::size_t first = 0; first < vocab; first += 32) {
    const std::uint32_t word = row.mask[first / 32];
    if (word == ~std::uint32_t(0)) continue;
    const std::size_t end = std::min(first + 32, vocab);
    if (word == 0) {
      std::fill(row.logits.begin() + std::ptrdiff_t(first),
                row.logits.begin() + std::ptrdiff_t(end), -kInfinity);
      continue;
    }
    for (std::size_t id = first; id < end; ++id)
      if (is_masked(row.mask, id)) row.logits[id] = -kInfinity;
  }
}

// ---- choosing

/// Passes over one row at its temperature.
class Chooser {
 public:
  Chooser(const SampleKernel& kernel, const RowInput& row, float best, Scratch& scratch)
      : kernel_(kernel),
        params_(row.params),
        logits_(row.logits.first(std::size_t(row.vocab_limit))),
        best_(best),
        inverse_temperature_(1.0f / row.params.temperature),
        scratch_(scratch) {}

  TokenId choose() {
    Cut cut = kKeepAll;
    if (params_.top_k > 0 && std::size_t(params_.top_k) < logits_.size())
      cut = cut_top_k(std::size_t(params_.top_k));
    if (params_.top_p < 1) cut = cut_top_p(cut);
    if (params_.min_p > 0) cut = cut_min_p(cut);
    return draw(cut);
  }

 private:
  std::size_t collect(float at_least, std::size_t begin, std::size_t count) {
    return std::size_t(kernel_.collect(logits_.data() + begin, std::int64_t(count), at_least,
                                       scratch_.ids.data()));
  }

  /// Keeps the k likeliest: a running threshold lets few values of each block through.
  Cut cut_top_k(std::size_t k) {
    constexpr std::size_t kBlock = 4096;
    const std::size_t vocab = logits_.size(), capacity = 2 * k + kBlock;
    std::size_t count = 0, step = capacity < vocab ? kBlock : vocab;
    float threshold = kLowest;
    for (std::size_t begin = 0; begin < vocab; begin += step) {
      const std::size_t found = collect(threshold, begin, std::min(step, vocab - begin));
      for (std::size_t i = 0; i < found; ++i)
        scratch_.values[count++] = logits_[begin + std::size_t(scratch_.ids[i])];
      if (count < k || (begin + step < vocab && count < k + kBlock)) continue;
      threshold = select(k, count);
      count = k;
    }
    if (count < k) return kKeepAll;  // fewer finite logits than k
    threshold = select(k, count);
    const std::size_t above =
        std::size_t(kernel_.count_greater(logits_.data(), std::int64_t(vocab), threshold));
    return {threshold, nth_equal(threshold, k - above)};
  }

  /// The k-th largest of the first `count` values, which it moves to the front.
  float select(std::size_t k, std::size_t count) {
    const auto values = scratch_.values.begin();
    std::nth_element(values, values + std::ptrdiff_t(k - 1), values + std::ptrdiff_t(count),
                     std::greater<>());
    return values[std::ptrdiff_t(k - 1)];
  }

  /// The id of the n-th token (from 1) whose logit is `value`; the last if there are fewer.
  TokenId nth_equal(float value, std::size_t n) const {
    TokenId last = -1;
    for (std::size_t i = 0; i < logits_.size() && n > 0; ++i) {
      if (logits_[i] != value) continue;
      last = TokenId(i);
      --n;
    }
    return last;
  }

  /// What is kept of the likeliest tokens up to a mass of top_p of what `cut` keeps.
  Cut cut_top_p(Cut cut) {
    const double top_p = std::max(0.0, double(params_.top_p));
    // All tokens below this together have less than 1 - top_p of the likeliest token's mass, so the
    // cut is above.
    const double reach = std::log(double(logits_.size()) / (1 - top_p)) + 0.01;
    const float lowest =
        std::max(cut.threshold, float(double(best_) - reach * double(params_.temperature)));
    std::size_t count = collect(std::max(lowest, kLowest), 0, logits_.size());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const TokenId id = scratch_.ids[i];
      const float logit = logits_[std::size_t(id)];
      if (logit > cut.threshold || id <= cut.last_tie) scratch_.values[kept++] = logit;
    }
    const double total = cut.threshold > kLowest
                             ? mass(0, kept)
                             : kernel_.sum_exp(logits_.data(), std::int64_t(logits_.size()), best_,
                                               inverse_temperature_);
    return cut_mass(top_p * total, kept);
  }

  double mass(std::size_t begin, std::size_t end) const {
    return kernel_.sum_exp(scratch_.values.data() + begin, std::int64_t(end - begin), best_,
                           inverse_temperature_);
  }

  /// Weighted selection among the first `count` values: the smallest set of the largest with at
  /// least `target`.
  Cut cut_mass(double target, std::size_t count) {
    float* const values = scratch_.values.data();
    std::size_t begin = 0, end = count;  // the cut is in here
    double before = 0;                   // mass of larger values
    while (begin < end) {
      // The median of three stands in the middle of sorted and of random values alike.
      const float a = values[begin], b = values[begin + (end - begin) / 2], c = values[end - 1];
      const float pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
      const std::size_t larger = std::size_t(
          std::partition(values + begin, values + end, [&](float x) { return x > pivot; }) -
          values);
      const std::size_t equal = std::size_t(
          std::partition(values + larger, values + end, [&](float x) { return x == pivot; }) -
          values);
      const double mass_larger = mass(begin, larger);
      if (before + mass_larger >= target && larger > begin) {
        end = larger;
        continue;
      }
      before += mass_larger;
      const double each = weight(pivot), ties = double(equal - larger);
      if (before + each * ties >= target || equal == end) {
        const double wanted = std::ceil((target - before) / each);
        return {pivot, nth_equal(pivot, std::size_t(std::clamp(wanted, 1.0, ties)))};
      }
      before += each * ties;
      begin = equal;
    }
    return kKeepAll;
  }

  double weight(float logit) const {
    float value;
    kernel_.exp_each(&logit, 1, best_, inverse_temperature_, &value);
    return double(value);
  }

  Cut cut_min_p(Cut cut) const {
    const double min_p = std::min(1.0, double(params_.min_p)),
                 temperature = double(params_.temperature);
    const auto keeps = [&](float logit) {
      return std::exp((double(logit) - double(best_)) / temperature) >= min_p;
    };
    // Within rounding of the boundary; the comparison itself decides.
    float threshold = float(double(best_) + temperature * std::log(min_p));
    for (int i = 0; i < 8 && !keeps(threshold); ++i)
      threshold = std::nextafter(threshold, kInfinity);
    for (int i = 0; i < 8 && keeps(std::nextafter(threshold, -kInfinity)); ++i)
      threshold = std::nextafter(threshold, -kInfinity);
    return threshold > cut.threshold ? Cut{threshold, kKeepAll.last_tie} : cut;
  }

  /// Gumbel-max: the token with the largest logit / temperature + Gumbel noise, in double.
  struct Draw {
    double best, temperature;
    double score = -std::numeric_limits<double>::infinity();
    TokenId token = 0;
  };

  static float offer(void* state, float logit, TokenId id, std::uint32_t bits) {
    Draw& draw = *static_cast<Draw*>(state);
    const double score = (double(logit) - draw.best) / draw.temperature + gumbel(bits);
    // Ids come in ascending order, so that the lowest of equals stays.
    if (score > draw.score) {
      draw.score = score;
      draw.token = id;
    }
    return float(draw.score);
  }

  TokenId draw(Cut cut) const {
    Draw state{double(best_), double(params_.temperature)};
    kernel_.draw({.logits = logits_.data(),
                  .size = std::int64_t(logits_.size()),
                  .cut = cut,
                  .best = best_,
                  .inverse_temperature = inverse_temperature_,
                  .seed = params_.seed,
                  .counter = params_.counter},
                 {offer, &state});
    return state.token;
  }

  const SampleKernel& kernel_;
  const SamplingRow& params_;
  std::span<const float> logits_;
  float best_, inverse_temperature_;
  Scratch& scratch_;
};

TokenId choose(const SampleKernel& kernel, const RowInput& row, Scratch& scratch) {
  const SamplingRow& params = row.params;
  const std::span<const float> logits = row.logits.first(std::size_t(row.vocab_limit));
  const float best = kernel.largest(logits.data(), std::int64_t(logits.size()));
  if (best == -kInfinity) return 0;
  const bool greedy = !(params.temperature >= kMinTemperature) || params.top_k == 1;
  // Infinity leaves nothing to chance.
  if (greedy || best == kInfinity) return find(logits, best);
  return Chooser(kernel, row, best, scratch).choose();
}

// ---- logprobs of the unmodified logits

/// Log-softmax of one row. Infinite logits share all the mass; NaN has none.
class LogProbs {
 public:
  LogProbs(const SampleKernel& kernel, std::span<const float> logits)
      : kernel_(kernel), logits_(logits), best_(kernel.largest(logits.data(), size())) {
    if (best_ == kInfinity)
      log_sum_ = std::log(double(std::count(logits.begin(), logits.end(), kInfinity)));
    else if (best_ > -kInfinity)
      log_sum_ = std::log(kernel.sum_exp(logits.data(), size(), best_, 1.0f));
  }

  float of(float logit) const {
    if (!(logit > -kInfinity)) return -kInfinity;
    return logit == best_ ? float(-log_sum_) : float(double(logit) - double(best_) - log_sum_);
  }

  std::int32_t rank(float logit) const {
    return 1 + std::int32_t(kernel_.count_greater(logits_.data(), size(),
                                                  std::isnan(logit) ? -kInfinity : logit));
  }

  /// The likeliest tokens, -1 where there are no more. `values` and `ids` are scratch.
  void top(std::int64_t wanted, Scratch& scratch, const RowResult& result) const {
    const std::size_t count =
        std::min(std::size_t(wanted), candidates(std::size_t(wanted), scratch));
    for (std::size_t i = 0; i < std::size_t(wanted); ++i) {
      result.top_ids[i] = i < count ? scratch.ids[i] : -1;
      result.top_logprobs[i] = i < count ? of(logits_[std::size_t(scratch.ids[i])]) : -kInfinity;
    }
  }

 private:
  std::int64_t size() const { return std::int64_t(logits_.size()); }

  /// Ids of at least the `wanted` likeliest (if there are so many), those sorted in front.
  std::size_t candidates(std::size_t wanted, Scratch& scratch) const {
    if (wanted == 0) return 0;
    // The smallest of the largest values of blocks: so many values are at least as large.
    const std::size_t blocks = std::min(logits_.size(), 2 * wanted);
    float threshold = kInfinity;
    std::size_t next = 0;
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::size_t begin = i * logits_.size() / blocks,
                        end = (i + 1) * logits_.size() / blocks;
      scratch.values[next++] = kernel_.largest(logits_.data() + begin, std::int64_t(end - begin));
    }
    const auto values = scratch.values.begin();
    const std::ptrdiff_t place = std::ptrdiff_t(std::min(wanted, blocks) - 1);
    std::nth_element(values, values + place, values + std::ptrdiff_t(blocks), std::greater<>());
    threshold = std::max(values[place], kLowest);
    const std::size_t count =
        std::size_t(kernel_.collect(logits_.data(), size(), threshold, scratch.ids.data()));
    const auto ids = scratch.ids.begin();
    std::partial_sort(ids, ids + std::ptrdiff_t(std::min(wanted, count)),
                      ids + std::ptrdiff_t(count), [this](TokenId a, TokenId b) {
                        const float x = logits_[std::size_t(a)], y = logits_[std::size_t(b)];
                        return x > y || (x == y && a < b);
                      });
    return count;
  }

  const SampleKernel& kernel_;
  std::span<const float> logits_;
  float best_;
  double log_sum_ = 0;
};

}  // namespace

void sample_row_cpu(const SampleKernel& kernel, const RowInput& row, const RowResult& result,
                    std::byte* scratch_data) {
  Scratch scratch(scratch_data, row.logits.size());
  const bool modified =
      row.params.forced_token < 0 &&
      (!row.bias_ids.empty() || !row.output.empty() || !row.prompt.empty() || !row.mask.empty());
  std::span<const float> unmodified = row.logits;
  if (modified) {
    if (result.logprob) {
      std::copy(row.logits.begin(), row.logits.end(), scratch.original.begin());
      unmodified = scratch.original;
    }
    apply_penalties(row, scratch.ids);
    apply_bias(row);
    apply_mask(row);
  }
  const TokenId token =
      row.params.forced_token >= 0 ? row.params.forced_token : choose(kernel, row, scratch);
  *result.token = token;
  if (!result.logprob) return;
  const LogProbs logprobs(kernel, unmodified);
  *result.logprob = logprobs.of(unmodified[std::size_t(token)]);
  *result.rank = logprobs.rank(unmodified[std::size_t(token)]);
  logprobs.top(row.params.num_top_logprobs, scratch, result);
}

std::size_t sample_row_scratch(std::int64_t vocab) {
  return round_up(std::size_t(vocab) * (2 * sizeof(float) + sizeof(TokenId)), std::size_t(64));
}

}  // namespace isotope::ops
