// Compiled grammars, kept for the next request that asks for the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "text/grammar/compiled_grammar.h"
#include "text/tokenizer.h"

namespace isotope::server {

/// Every member may be called from any thread; compiling takes milliseconds to seconds, so not from
/// one that others wait for.
class GrammarCache {
 public:
  /// Of ids below `vocab`; `tokenizer` must outlive this.
  GrammarCache(const text::Tokenizer& tokenizer, std::int32_t vocab)
      : tokenizer_(tokenizer), vocab_(vocab) {}

  /// The grammar that `make` makes, compiled; the same for equal keys. Errors: those of `make` and
  /// of compile_grammar.
  std::shared_ptr<const text::CompiledGrammar> get(const std::string& key,
                                                   const std::function<text::Grammar()>& make);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const text::CompiledGrammar> grammar;
  };

  std::shared_ptr<const text::TokenTrie> trie();
  std::shared_ptr<const text::CompiledGrammar> find(const std::string& key);
  void put(const std::string& key, std::shared_ptr<const text::CompiledGrammar> grammar);

  const text::Tokenizer& tokenizer_;
  const std::int32_t vocab_;
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<const text::TokenTrie> trie_;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
  std::size_t bytes_ = 0;  // of all entries
};

}  // namespace isotope::server
