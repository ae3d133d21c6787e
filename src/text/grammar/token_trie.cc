#include "text/grammar/token_trie.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "text/tokenizer.h"

namespace isotope::text {
namespace {

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return std::size_t(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::int32_t limit) {
  std::vector<std::string_view> bytes(std::size_t(std::min(limit, tokenizer.vocab_size())));
  for (TokenId id = 0; id < std::int32_t(bytes.size()); ++id)
    if (!tokenizer.is_special(id)) bytes[std::size_t(id)] = tokenizer.token_bytes(id);
  build(bytes);
}

TokenTrie::TokenTrie(std::span<const std::string_view> bytes) { build(bytes); }

void TokenTrie::build(std::span<const std::string_view> bytes) {
  constexpr std::size_t kLongest = 0xffff;  // a depth has 16 bits
  std::vector<TokenId> sorted(bytes.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  const auto text_of = [&](TokenId id) { return bytes[std::size_t(id)]; };
  std::erase_if(sorted,
                [&](TokenId id) { return text_of(id).empty() || text_of(id).size() > kLongest; });
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](TokenId a, TokenId b) { return text_of(a) < text_of(b); });
  nodes_.push_back({0, 0, 0, 0});
  std::vector<std::uint32_t> path = {0};  // the nodes from the root to the last one
  const auto close = [&](std::size_t depth) {
    for (; path.size() > depth + 1; path.pop_back())
      nodes_[path.back()].end = std::uint32_t(nodes_.size());
  };
  std::string_view previous;
  for (const TokenId id : sorted) {
    const std::string_view text = text_of(id);
    const std::size_t common = common_prefix(previous, text);
    close(common);
    for (std::size_t i = common; i < text.size(); ++i) {
      path.push_back(std::uint32_t(nodes_.size()));
      nodes_.push_back(
          {0, std::uint32_t(tokens_.size()), std::uint16_t(i + 1), std::uint8_t(text[i])});
    }
    tokens_.push_back(id);
    longest_ = std::max(longest_, std::uint16_t(text.size()));
    previous = text;
  }
  close(0);
  nodes_[0].end = std::uint32_t(nodes_.size());
  nodes_.push_back({std::uint32_t(nodes_.size()), std::uint32_t(tokens_.size()), 0, 0});
  for (const std::string_view text : bytes) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    bytes_end_.push_back(std::uint32_t(bytes_.size()));
  }
}

std::string_view TokenTrie::bytes_of(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  const std::uint32_t begin = id == 0 ? 0 : bytes_end_[std::size_t(id) - 1];
  return {bytes_.data() + begin, bytes_end_[std::size_t(id)] - begin};
}

}  // namespace isotope::text
