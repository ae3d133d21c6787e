// For tests: log-probabilities against the logits that they belong to.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "engine/request.h"

namespace isotope::engine::testing {

inline double log_softmax(const std::vector<float>& logits, TokenId id) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double(logit));
  return logits[std::size_t(id)] - std::log(sum);
}

/// As requested of SamplingRow: value, rank, and the best k in order.
inline void expect_logprobs(const std::optional<TokenLogprobs>& got,
                            const std::vector<float>& logits, TokenId id, std::size_t k) {
  ASSERT_TRUE(got.has_value());
  EXPECT_NEAR(got->logprob, log_softmax(logits, id), 1e-4);
  const auto larger = std::count_if(logits.begin(), logits.end(),
                                    [&](float logit) { return logit > logits[std::size_t(id)]; });
  EXPECT_EQ(got->rank, 1 + larger);
  ASSERT_EQ(got->top.size(), k);
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[std::size_t(a)] > logits[std::size_t(b)];
  });
  for (std::size_t i = 0; i < k; ++i) {
    EXPECT_EQ(got->top[i].first, order[i]);
    EXPECT_NEAR(got->top[i].second, log_softmax(logits, order[i]), 1e-4);
  }
}

}  // namespace isotope::engine::testing
