// The tokens of a vocabulary as a tree of their bytes, to be walked together with an automaton.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::text {

class Tokenizer;

/// Nodes in preorder, so that a walk goes forward through the arrays and a subtree is skipped by
/// one jump. Node 0 is the root, with no bytes. Immutable.
class TokenTrie {
 public:
  struct Node {
    std::uint32_t end;          ///< the first node that is not below this one
    std::uint32_t first_token;  ///< into tokens(); those of the next node begin where these end
    std::uint16_t depth;        ///< bytes from the root
    std::uint8_t byte;          ///< the last of them
  };

  /// Ids below `limit`, without special tokens and tokens without bytes.
  TokenTrie(const Tokenizer& tokenizer, std::int32_t limit);
  /// `bytes[id]`; empty: not part of any text.
  explicit TokenTrie(std::span<const std::string_view> bytes);

  std::uint32_t size() const { return std::uint32_t(nodes_.size()) - 1; }
  const Node& node(std::uint32_t i) const { return nodes_[i]; }
  std::span<const TokenId> tokens_at(std::uint32_t i) const {
    return std::span(tokens_).subspan(nodes_[i].first_token,
                                      nodes_[i + 1].first_token - nodes_[i].first_token);
  }
  /// Ids are below this.
  std::int32_t vocab_size() const { return std::int32_t(bytes_end_.size()); }
  /// Empty for tokens that are no text.
  std::string_view bytes_of(TokenId id) const;
  std::uint16_t longest() const { return longest_; }

 private:
  void build(std::span<const std::string_view> bytes);

  std::vector<Node> nodes_;  // and one more, as the end of the last
  std::vector<TokenId> tokens_;
  std::vector<char> bytes_;
  std::vector<std::uint32_t> bytes_end_;  // by id, into bytes_
  std::uint16_t longest_ = 0;
};

}  // namespace isotope::text
