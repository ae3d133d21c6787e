// The statistics of evaluations: standard errors, and tests of two runs over the same questions.
#pragma once

#include <cstdint>
#include <span>

namespace isotope::cli {

/// Standard error of the mean of `right` ones among `total` zeros and ones, by the sample's
/// deviation (n − 1), as lm-evaluation-harness has it. NaN for fewer than two.
double stderr_of_proportion(std::int64_t right, std::int64_t total);

/// McNemar's exact test: the two-sided probability of a split at least as uneven as b : c among the
/// questions on which two runs disagree, if each went either way by a fair coin. 1 if there are
/// none.
double mcnemar_exact(std::int64_t only_a, std::int64_t only_b);

/// What a window of a text adds up to over its tokens: negative log-likelihoods of one run, or how
/// much those of run B exceed those of run A.
struct TokenSum {
  double sum = 0;
  double tokens = 0;
};

/// Standard error of Σ sum / Σ tokens over windows: of a ratio estimator, linearized. NaN for fewer
/// than two.
double stderr_of_ratio(std::span<const TokenSum> windows);

struct PairedDifference {
  double mean = 0;            ///< per token, Σ sum / Σ tokens
  double standard_error = 0;  ///< stderr_of_ratio
  double p_normal = 1;        ///< two-sided, mean / standard_error as a normal deviate
  double low = 0, high = 0;   ///< 95 % percentile interval of the bootstrap over windows
};

/// B − A over the same windows. `resamples` bootstrap draws have a fixed seed.
PairedDifference compare_paired(std::span<const TokenSum> windows, std::int64_t resamples = 10000);

}  // namespace isotope::cli
