// Sampling by its definition: everything is sorted, everything is summed.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "ops/sample/philox.h"
#include "ops/sample/sample_forms.h"

namespace isotope::ops {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Token ids from the likeliest on; lower ids first among equals; without NaN and -infinity.
std::vector<TokenId> sorted_ids(std::span<const float> logits, std::int64_t limit) {
  std::vector<TokenId> ids;
  for (std::int64_t id = 0; id < limit; ++id)
    if (logits[std::size_t(id)] > kMinusInfinity) ids.push_back(TokenId(id));
  std::stable_sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
    return logits[std::size_t(a)] > logits[std::size_t(b)];
  });
  return ids;
}

void apply_penalties_and_bias(const RowInput& row) {
  std::map<TokenId, int> output_counts;
  for (const TokenId id : row.output) ++output_counts[id];
  std::set<TokenId> seen(row.prompt.begin(), row.prompt.end());
  seen.insert(row.output.begin(), row.output.end());
  const auto valid = [&row](TokenId id) { return id >= 0 && std::size_t(id) < row.logits.size(); };
  for (const TokenId id : seen) {
    if (!valid(id)) continue;
    float& logit = row.logits[std::size_t(id)];
    logit =
        logit > 0 ? logit / row.params.repetition_penalty : logit * row.params.repetition_penalty;
  }
  for (const auto& [id, count] : output_counts) {
    if (!valid(id)) continue;
    row.logits[std::size_t(id)] -=
        row.params.presence_penalty + row.params.frequency_penalty * float(count);
  }
  for (std::size_t i = 0; i < row.bias_ids.size(); ++i)
    if (valid(row.bias_ids[i])) row.logits[std::size_t(row.bias_ids[i])] += row.bias_values[i];
}

void apply_mask(const RowInput& row) {
  for (std::size_t id = 0; id < row.logits.size() && !row.mask.empty(); ++id)
    if (is_masked(row.mask, id)) row.logits[id] = kMinusInfinity;
}

TokenId choose(const RowInput& row) {
  const SamplingRow& params = row.params;
  std::vector<TokenId> ids = sorted_ids(row.logits, row.vocab_limit);
  if (ids.empty()) return 0;
  const double top = row.logits[std::size_t(ids[0])];
  if (!(params.temperature >= kMinTemperature) || std::isinf(top)) return ids[0];
  const auto weight = [&](TokenId id) {
    return std::exp((double(row.logits[std::size_t(id)]) - top) / double(params.temperature));
  };
  if (params.top_k > 0 && std::size_t(params.top_k) < ids.size())
    ids.resize(std::size_t(params.top_k));
  double total = 0;
  for (const TokenId id : ids) total += weight(id);
  double before = weight(ids[0]);
  std::vector<TokenId> kept = {ids[0]};
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (before >= double(params.top_p) * total) break;
    if (!(weight(ids[i]) < double(params.min_p))) kept.push_back(ids[i]);
    before += weight(ids[i]);
  }
  TokenId best = kept[0];
  double best_score = kMinusInfinity;
  for (const TokenId id : kept) {
    const std::uint32_t bits =
        token_bits(params.seed, params.counter, std::uint32_t(id) / 4)[std::size_t(id) % 4];
    const double score =
        (double(row.logits[std::size_t(id)]) - top) / double(params.temperature) + gumbel(bits);
    if (score > best_score || (score == best_score && id < best)) {
      best = id;
      best_score = score;
    }
  }
  return best;
}

}  // namespace

void sample_row_oracle(const RowInput& row, const RowResult& result) {
  std::vector<float> original(row.logits.begin(), row.logits.end());
  for (float& logit : original)
    if (std::isnan(logit)) logit = kMinusInfinity;
  apply_penalties_and_bias(row);
  apply_mask(row);
  const TokenId token = row.params.forced_token >= 0 ? row.params.forced_token : choose(row);
  *result.token = token;
  if (!result.logprob) return;
  const std::vector<TokenId> ids = sorted_ids(original, std::int64_t(original.size()));
  const float top = ids.empty() ? 0 : original[std::size_t(ids[0])];
  double sum = 0;  // infinite logits share all the mass
  for (const TokenId id : ids) {
    const float logit = original[std::size_t(id)];
    sum += logit == top ? 1 : std::exp(double(logit) - double(top));
  }
  const auto logprob = [&](TokenId id) {
    const float logit = original[std::size_t(id)];
    if (logit == kMinusInfinity) return kMinusInfinity;
    return logit == top ? float(-std::log(sum))
                        : float(double(logit) - double(top) - std::log(sum));
  };
  *result.logprob = logprob(token);
  *result.rank = 1 + int(std::count_if(original.begin(), original.end(), [&](float value) {
                   return value > original[std::size_t(token)];
                 }));
  for (std::int64_t i = 0; i < row.params.num_top_logprobs; ++i) {
    const bool present = std::size_t(i) < ids.size();
    result.top_ids[i] = present ? ids[std::size_t(i)] : -1;
    result.top_logprobs[i] = present ? logprob(ids[std::size_t(i)]) : kMinusInfinity;
  }
}

}  // namespace isotope::ops
