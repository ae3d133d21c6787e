// What a request's answer must look like, as the engine sees it: which tokens may come next.
#pragma once

#include <cstdint>
#include <span>

#include "base/tensor.h"

namespace isotope::engine {

/// One object a request. Calls come one at a time, but from different threads: fill_mask() in the
/// order of steps, perhaps several times before a token, and accept() for each token of the answer.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// Sets the bits (id % 32 of word id / 32) of all tokens that may come next, and clears the
  /// others. At most `tokens_left` tokens follow, this one included.
  virtual void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) = 0;
  /// The token was chosen; false if it may not come, because no token could be chosen.
  virtual bool accept(TokenId token) = 0;
  /// The answer is complete and nothing can follow: it ends without an end-of-sequence token.
  virtual bool finished() const = 0;
};

}  // namespace isotope::engine
