// Sets of tokens, kept for reuse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor.h"

namespace isotope::text {

inline void set_bit(std::span<std::uint32_t> mask, TokenId id) {
  mask[std::size_t(id) / 32] |= std::uint32_t(1) << (id % 32);
}
inline void clear_bit(std::span<std::uint32_t> mask, TokenId id) {
  mask[std::size_t(id) / 32] &= ~(std::uint32_t(1) << (id % 32));
}

/// Immutable. A few ids or a bit for each token, whichever is smaller.
class TokenSet {
 public:
  TokenSet() = default;
  explicit TokenSet(std::span<const std::uint32_t> mask);

  /// Sets the bits of the members.
  void add_to(std::span<std::uint32_t> mask) const;
  std::size_t bytes() const { return 4 * (words_.size() + ids_.size()); }

 private:
  std::vector<std::uint32_t> words_;
  std::vector<TokenId> ids_;
};

}  // namespace isotope::text
