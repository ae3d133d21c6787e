// How a text that is longer than a context is cut for perplexity: overlapping windows, as in the
// guide to perplexity of fixed-length models in transformers' documentation.
#pragma once

#include <cstddef>
#include <vector>

namespace isotope::cli {

/// Tokens [begin, end) are given to the model, the log-likelihoods of [scored, end) count.
struct TextWindow {
  std::size_t begin, scored, end;
};

/// Windows of `context` tokens, each beginning `stride` after the one before. Every token but the
/// first counts once, in the first window that holds it; where windows do not overlap (stride =
/// context), a window's first token has no context and does not count. Needs 1 ≤ stride ≤ context
/// and context ≥ 2.
std::vector<TextWindow> text_windows(std::size_t tokens, std::size_t context, std::size_t stride);

}  // namespace isotope::cli
