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

/// Token ids from the likeliest on; lower ids first among equals; without NaN and -infinity.
std::vector<TokenId> sorted_ids(std::span<const float> logits, std::int64_t limit) {
  std::vector<TokenId> ids;
  for (std::int64_t id = 0; id < limit; ++id)
    if (logits[std::size_t(id)] > -std::numeric_limits<float>::infinity())
      ids.push_back(TokenId(id));
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

TokenId choose(const RowInput& row) {
  const SamplingRow& params = row.params;
  std::vector<TokenId> ids = sorted_ids(row.logits, row.vocab_limit);
  if (ids.empty()) return 0;
  if (params.temperature < kMinTemperature) return ids[0];
  const double top = row.logits[std::size_t(ids[0])];
  const auto weight = [&](TokenId id) {
    return std::exp((double(row.logits[std::size_t(id)]) - top) / double(params.temperature));
  };
  if (params.top_k > 0 && std::size_t(params.top_k) < ids.size())
    ids.resize(std::size_t(params.top_k));
  double total = 0;
  for (const TokenId id : ids) total += weight(id);
  double before = 0;
  std::vector<TokenId> kept;
  for (const TokenId id : ids) {
    if (!kept.empty() && before >= double(params.top_p) * total) break;
    if (weight(id) >= double(params.min_p)) kept.push_back(id);
    before += weight(id);
  }
  TokenId best = kept[0];
  double best_score = -std::numeric_limits<double>::infinity();
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
  const std::vector<float> original(row.logits.begin(), row.logits.end());
  apply_penalties_and_bias(row);
  const TokenId token = row.params.forced_token >= 0 ? row.params.forced_token : choose(row);
  *result.token = token;
  if (!result.logprob) return;
  const std::vector<TokenId> ids = sorted_ids(original, std::int64_t(original.size()));
  double sum = 0;
  const double top = ids.empty() ? 0 : original[std::size_t(ids[0])];
  for (const TokenId id : ids) sum += std::exp(double(original[std::size_t(id)]) - top);
  const auto logprob = [&](TokenId id) {
    return float(double(original[std::size_t(id)]) - top - std::log(sum));
  };
  *result.logprob = logprob(token);
  *result.rank = 1 + int(std::count_if(original.begin(), original.end(), [&](float value) {
                   return value > original[std::size_t(token)];
                 }));
  for (std::int64_t i = 0; i < row.params.num_top_logprobs; ++i) {
    const bool present = std::size_t(i) < ids.size();
    result.top_ids[i] = present ? ids[std::size_t(i)] : -1;
    result.top_logprobs[i] =
        present ? logprob(ids[std::size_t(i)]) : -std::numeric_limits<float>::infinity();
  }
}

}  // namespace isotope::ops
