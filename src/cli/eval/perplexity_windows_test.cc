#include "cli/eval/perplexity_windows.h"

#include <gtest/gtest.h>

namespace isotope::cli {
namespace {

/// How often each token counts, with a check that it has a context.
std::vector<int> counts(std::size_t tokens, std::size_t context, std::size_t stride) {
  std::vector<int> result(tokens);
  for (const TextWindow& window : text_windows(tokens, context, stride)) {
    EXPECT_LE(window.end - window.begin, context);
    EXPECT_LT(window.begin, window.scored);
    for (std::size_t i = window.scored; i < window.end; ++i) ++result[i];
  }
  return result;
}

TEST(PerplexityWindows, OverlappingWindowsCountEveryTokenButTheFirstOnce) {
  for (std::size_t tokens = 1; tokens < 40; ++tokens)
    for (std::size_t context = 2; context < 12; ++context)
      for (std::size_t stride = 1; stride < context; ++stride) {
        std::vector<int> expected(tokens, 1);
        expected[0] = 0;
        EXPECT_EQ(counts(tokens, context, stride), expected)
            << tokens << " " << context << " " << stride;
      }
}

TEST(PerplexityWindows, WithoutOverlapTheFirstOfEachDoesNotCount) {
  EXPECT_EQ(counts(9, 4, 4), (std::vector<int>{0, 1, 1, 1, 0, 1, 1, 1, 0}));
}

TEST(PerplexityWindows, ATokenCountsWithTheLongestContextThatAStrideLeaves) {
  const std::vector<TextWindow> windows = text_windows(10, 6, 2);
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_EQ(windows[1].begin, 2u);
  EXPECT_EQ(windows[1].scored, 6u);
  EXPECT_EQ(windows[1].end, 8u);
  EXPECT_EQ(windows[2].end, 10u);
}

}  // namespace
}  // namespace isotope::cli
