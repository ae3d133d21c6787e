#include "cli/eval/perplexity_windows.h"

#include <algorithm>

#include "base/error.h"

namespace isotope::cli {

std::vector<TextWindow> text_windows(std::size_t tokens, std::size_t context, std::size_t stride) {
  ISOTOPE_ASSERT(context >= 2 && stride >= 1 && stride <= context);
  std::vector<TextWindow> windows;
  std::size_t counted = 0;
  for (std::size_t begin = 0; counted < tokens; begin += stride) {
    const std::size_t end = std::min(begin + context, tokens);
    const std::size_t scored = std::max(counted, begin + 1);
    if (scored < end) windows.push_back({begin, scored, end});
    counted = end;
  }
  return windows;
}

}  // namespace isotope::cli
