#include "text/grammar/token_set.h"

#include <bit>

namespace isotope::text {

TokenSet::TokenSet(std::span<const std::uint32_t> mask) {
  std::size_t count = 0;
  for (const std::uint32_t word : mask) count += std::size_t(std::popcount(word));
  if (count >= mask.size()) {
    words_.assign(mask.begin(), mask.end());
    return;
  }
  ids_.reserve(count);
  for (std::size_t i = 0; i < mask.size(); ++i)
    for (std::uint32_t word = mask[i]; word; word &= word - 1)
      ids_.push_back(TokenId(32 * i) + std::countr_zero(word));
}

void TokenSet::add_to(std::span<std::uint32_t> mask) const {
  for (std::size_t i = 0; i < words_.size(); ++i) mask[i] |= words_[i];
  for (const TokenId id : ids_) set_bit(mask, id);
}

}  // namespace isotope::text
