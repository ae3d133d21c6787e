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

/// One unit (a window of a text) of a paired comparison: how much B's negative log-likelihood
/// exceeds A's, over so many tokens.
struct PairedUnit {
  double difference = 0;
  double tokens = 0;
};

struct PairedDifference {
  double mean = 0;            ///< per token
  double standard_error = 0;  ///< of it, over units; NaN for fewer than two
  double p_normal = 1;        ///< two-sided, mean / standard_error as a normal deviate
  double low = 0, high = 0;   ///< 95 % percentile interval of the bootstrap over units
};

/// Ratio estimator (sum of differences / sum of tokens) with its linearized standard error, and
/// `resamples` bootstrap draws with a fixed seed.
PairedDifference compare_paired(std::span<const PairedUnit> units, std::int64_t resamples = 10000);

}  // namespace isotope::cli
