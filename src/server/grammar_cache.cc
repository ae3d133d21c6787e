#include "server/grammar_cache.h"

#include <utility>

#include "text/grammar/token_trie.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxEntries = 256, kMaxBytes = std::size_t(512) << 20;

}  // namespace

std::shared_ptr<const text::CompiledGrammar> GrammarCache::get(
    const std::string& key, const std::function<text::Grammar()>& make) {
  if (auto found = find(key)) return found;
  // Two requests may compile the same at once; the first stays, and both work.
  auto grammar = text::compile_grammar(make(), trie());
  put(key, grammar);
  return grammar;
}

std::shared_ptr<const text::TokenTrie> GrammarCache::trie() {
  const std::lock_guard lock(mutex_);
  if (!trie_) trie_ = std::make_shared<const text::TokenTrie>(tokenizer_, vocab_);
  return trie_;
}

std::shared_ptr<const text::CompiledGrammar> GrammarCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(key);
  if (place == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, place->second);
  return place->second->grammar;
}

void GrammarCache::put(const std::string& key,
                       std::shared_ptr<const text::CompiledGrammar> grammar) {
  const auto size = [](const Entry& entry) {
    return 2 * entry.key.size() + text::most_bytes(*entry.grammar);
  };
  const std::lock_guard lock(mutex_);
  if (places_.contains(key)) return;
  entries_.push_front({key, std::move(grammar)});
  places_[key] = entries_.begin();
  bytes_ += size(entries_.front());
  while (entries_.size() > 1 && (entries_.size() > kMaxEntries || bytes_ > kMaxBytes)) {
    bytes_ -= size(entries_.back());
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

}  // namespace isotope::server
