// A grammar made ready for a vocabulary, and how far one answer has got in it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "text/grammar/grammar.h"

namespace isotope::text {

class TokenTrie;  // token_trie.h

/// Immutable for its users; shared by any number of answers and threads.
class CompiledGrammar;

/// Errors: invalid_argument if it has no text at all, recurses on the left, or needs more than the
/// limits that docs/structured-output.md names; the message says what.
std::shared_ptr<const CompiledGrammar> compile_grammar(const Grammar& grammar,
                                                       std::shared_ptr<const TokenTrie> trie);

/// Memory that it can come to take, with the masks that it keeps.
std::size_t most_bytes(const CompiledGrammar& grammar);

/// When tokens that end an answer may come.
enum class GrammarEnd {
  if_complete,           ///< after every complete text
  if_nothing_else_fits,  ///< only where the text, or what is left of its tokens, allows no other
};

/// One answer's way through a grammar. Used by one thread at a time.
class GrammarMatcher {
 public:
  /// `end_ids` may follow a complete text, and nothing follows them.
  GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar, std::vector<TokenId> end_ids,
                 GrammarEnd end = GrammarEnd::if_complete);
  ~GrammarMatcher();
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;

  /// Sets the bits (id % 32 of word id / 32) of all tokens that may come next, and clears the
  /// others. Of `tokens_left` tokens (this one included) the answer can then still be completed, if
  /// that was possible before.
  void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left);
  /// The token has come; false, and nothing changes, if it may not.
  bool accept(TokenId token);
  /// As accept, for bytes that come by other ways; false if they may not, with some of them taken.
  bool accept_bytes(std::string_view bytes);

  /// What has come is a whole text of the grammar.
  bool complete() const;
  /// Complete, and nothing can follow.
  bool finished() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace isotope::text
