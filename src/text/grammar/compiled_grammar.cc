#include "text/grammar/compiled_grammar.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/positions.h"
#include "text/grammar/token_set.h"
#include "text/grammar/token_trie.h"
#include "text/grammar/token_walk.h"

namespace isotope::text {
namespace {

/// Masks of one grammar that are kept; beyond this it starts anew.
constexpr std::size_t kMaxCachedBytes = std::size_t(4) << 20;

/// What a state alone says about tokens, whoever called its rule.
struct LocalMask {
  TokenSet inside;  ///< tokens whose bytes the rule can read
  /// Trie nodes at which the rule's text ends: what follows is the caller's to say.
  std::vector<std::uint32_t> exits;
  std::int32_t rise = 0;  ///< how much farther from the rule's end a token can lead
};

/// Tokens that may follow somewhere.
struct Mask {
  TokenSet tokens;
  std::int32_t rise = 0;  ///< how much farther from the text's end a token can lead, at most
};

/// Values by key, shared between threads, thrown away when they are too many.
template <typename Key, typename Value>
class Cache {
 public:
  std::shared_ptr<const Value> find(const Key& key) const {
    const std::lock_guard lock(mutex_);
    const auto entry = values_.find(key);
    return entry == values_.end() ? nullptr : entry->second;
  }
  void put(const Key& key, std::shared_ptr<const Value> value, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes_ + bytes > kMaxCachedBytes) {
      values_.clear();
      bytes_ = 0;
    }
    bytes_ += bytes + 64;
    values_[key] = std::move(value);
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<Key, std::shared_ptr<const Value>> values_;
  std::size_t bytes_ = 0;
};

}  // namespace

class CompiledGrammar {
 public:
  CompiledGrammar(const Grammar& grammar, std::shared_ptr<const TokenTrie> tokens)
      : automaton(build_automaton(grammar)), trie(std::move(tokens)) {}

  /// The arena is scratch.
  std::shared_ptr<const LocalMask> local_mask(PlaceArena& arena, std::int32_t state) const;
  std::shared_ptr<const Mask> mask(PlaceArena& arena, const Places& here) const;
  /// As mask(), of tokens after which the end is at most `reach` bytes away.
  void fill_within(PlaceArena& arena, const Places& here, std::int32_t reach,
                   std::span<std::uint32_t> mask) const;
  std::size_t words() const { return (std::size_t(trie->vocab_size()) + 31) / 32; }

  const Automaton automaton;
  const std::shared_ptr<const TokenTrie> trie;

 private:
  void set_tokens(std::uint32_t node, std::span<std::uint32_t> mask) const {
    for (const TokenId id : trie->tokens_at(node)) set_bit(mask, id);
  }
  void set_markers(PlaceArena& arena, const Places& here, std::int32_t reach,
                   std::span<std::uint32_t> mask) const;
  std::int32_t add_exits(PlaceArena& arena, const Place& place, const LocalMask& local,
                         std::span<std::uint32_t> mask) const;
  std::shared_ptr<const Mask> compute_mask(PlaceArena& arena, const Places& here) const;

  mutable Cache<std::int32_t, LocalMask> local_masks_;
  mutable Cache<std::uint64_t, Mask> masks_;
};

std::shared_ptr<const LocalMask> CompiledGrammar::local_mask(PlaceArena& arena,
                                                             std::int32_t state) const {
  if (auto found = local_masks_.find(state)) return found;
  auto local = std::make_shared<LocalMask>();
  std::vector<std::uint32_t> inside(words());
  const Place here{CallStacks::kBase, state};
  const std::int32_t distance = arena.distance(here);
  walk_tokens(*trie, 0, arena, arena.put({&here, 1}),
              [&](std::uint32_t node, const Places& places) {
                if (places.left) local->exits.push_back(node);
                if (places.begin == places.end || trie->tokens_at(node).empty()) return true;
                set_tokens(node, inside);
                local->rise = std::max(local->rise, arena.distance(places) - distance);
                return true;
              });
  local->inside = TokenSet(inside);
  local_masks_.put(state, local, local->inside.bytes() + 4 * local->exits.size());
  return local;
}

/// Tokens that go on after the end of the rule in which `place` is. Returns the farthest that one
/// of them can be from the text's end.
std::int32_t CompiledGrammar::add_exits(PlaceArena& arena, const Place& place,
                                        const LocalMask& local,
                                        std::span<std::uint32_t> mask) const {
  std::int32_t farthest = 0;
  if (local.exits.empty()) return farthest;
  const std::size_t stacks = arena.stacks().size();
  const Places after = arena.leave(place.stack);
  const auto take = [&](std::uint32_t node, const Places& places) {
    if (trie->tokens_at(node).empty()) return true;
    set_tokens(node, mask);
    farthest = std::max(farthest, arena.distance(places));
    return true;
  };
  for (const std::uint32_t node : local.exits) {
    if (after.dead()) break;
    take(node, after);
    if (after.begin < after.end) walk_tokens(*trie, node, arena, after, take);
  }
  arena.truncate(after.begin);
  arena.stacks().truncate(stacks);
  return farthest;
}

void CompiledGrammar::set_markers(PlaceArena& arena, const Places& here, std::int32_t reach,
                                  std::span<std::uint32_t> mask) const {
  for (const TokenId id : automaton.markers) {
    const std::size_t stacks = arena.stacks().size();
    const Places after = arena.step_token(here, id);
    clear_bit(mask, id);
    if (!after.dead() && arena.distance(after) <= reach) set_bit(mask, id);
    arena.truncate(after.begin);
    arena.stacks().truncate(stacks);
  }
}

std::shared_ptr<const Mask> CompiledGrammar::compute_mask(PlaceArena& arena,
                                                          const Places& here) const {
  auto result = std::make_shared<Mask>();
  std::vector<std::uint32_t> tokens(words());
  const std::int32_t distance = arena.distance(here);
  std::int32_t farthest = 0;
  for (std::size_t i = 0; i < here.end - here.begin; ++i) {
    const Place place = arena.view(here)[i];
    const auto local = local_mask(arena, place.state);
    local->inside.add_to(tokens);
    farthest = std::max(farthest, add_distance(arena.distance(place), local->rise));
    farthest = std::max(farthest, add_exits(arena, place, *local, tokens));
  }
  set_markers(arena, here, kNever, tokens);
  // A marker may lead anywhere.
  for (const TokenId id : automaton.markers)
    if (const Places after = arena.step_token(here, id); !after.dead())
      farthest = std::max(farthest, arena.distance(after));
  result->tokens = TokenSet(tokens);
  result->rise = std::max(0, farthest - distance);
  return result;
}

std::shared_ptr<const Mask> CompiledGrammar::mask(PlaceArena& arena, const Places& here) const {
  std::uint64_t key = here.end - here.begin;
  for (const Place& place : arena.view(here))
    for (const std::uint64_t part : {std::uint64_t(place.state), arena.stacks().key(place.stack)}) {
      key = (key ^ part) * 0x9e3779b97f4a7c15;
      key ^= key >> 31;
    }
  if (auto found = masks_.find(key)) return found;
  auto computed = compute_mask(arena, here);
  masks_.put(key, computed, computed->tokens.bytes());
  return computed;
}

void CompiledGrammar::fill_within(PlaceArena& arena, const Places& here, std::int32_t reach,
                                  std::span<std::uint32_t> mask) const {
  walk_tokens(*trie, 0, arena, here, [&](std::uint32_t node, const Places& places) {
    if (!trie->tokens_at(node).empty() && arena.distance(places) <= reach) set_tokens(node, mask);
    return true;
  });
  set_markers(arena, here, reach, mask);
}

std::shared_ptr<const CompiledGrammar> compile_grammar(const Grammar& grammar,
                                                       std::shared_ptr<const TokenTrie> trie) {
  return std::make_shared<const CompiledGrammar>(grammar, std::move(trie));
}

std::size_t most_bytes(const CompiledGrammar& grammar) {
  const Automaton& automaton = grammar.automaton;
  return 2 * kMaxCachedBytes + automaton.next.size() * sizeof(std::int32_t) +
         automaton.states.size() * sizeof(Automaton::State) +
         automaton.calls.size() * sizeof(Automaton::Call);
}

// ---- one answer

class GrammarMatcher::Impl {
 public:
  Impl(std::shared_ptr<const CompiledGrammar> grammar, std::vector<TokenId> end_ids, GrammarEnd end)
      : grammar_(std::move(grammar)),
        end_ids_(std::move(end_ids)),
        end_(end),
        arena_(grammar_->automaton, grammar_->trie->longest()),
        here_(arena_.start()) {}

  void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) {
    ISOTOPE_ASSERT(mask.size() >= grammar_->words());
    std::fill(mask.begin(), mask.end(), 0);
    if (ended_) return;
    fill_text(mask, tokens_left);
    if (!here_.complete) return;
    const auto has_tokens = [](std::uint32_t word) { return word != 0; };
    if (end_ == GrammarEnd::if_nothing_else_fits &&
        std::any_of(mask.begin(), mask.end(), has_tokens))
      return;
    for (const TokenId id : end_ids_)
      if (id >= 0 && std::size_t(id) < 32 * mask.size()) set_bit(mask, id);
  }

  bool accept(TokenId token) {
    if (ended_) return false;
    if (here_.complete && is_end(token)) return ended_ = true;
    const auto& markers = grammar_->automaton.markers;
    if (std::binary_search(markers.begin(), markers.end(), token))
      return move_to(arena_.step_token(here_, token));
    const std::string_view bytes = grammar_->trie->bytes_of(token);
    if (bytes.empty()) return false;
    Places places = here_;
    for (const char byte : bytes) {
      places = arena_.step(places, std::uint8_t(byte));
      if (places.dead()) break;
    }
    return move_to(places);
  }

  bool accept_bytes(std::string_view bytes) {
    for (const char byte : bytes)
      if (ended_ || !move_to(arena_.step(here_, std::uint8_t(byte)))) return false;
    return true;
  }

  bool complete() const { return ended_ || here_.complete; }
  bool finished() const { return ended_ || (here_.complete && here_.begin == here_.end); }

 private:
  bool is_end(TokenId token) const {
    return std::find(end_ids_.begin(), end_ids_.end(), token) != end_ids_.end();
  }

  /// Near the end of its tokens the answer is led to the end of its text: a token that would leave
  /// too few for that is not allowed. A token has at least one byte, so `distance` bytes take at
  /// most as many tokens.
  void fill_text(std::span<std::uint32_t> mask, std::int64_t tokens_left) {
    const auto possible = grammar_->mask(arena_, here_);
    const std::int64_t distance = arena_.distance(here_), reach = tokens_left - 1;
    if (distance + possible->rise > reach && distance <= tokens_left)
      grammar_->fill_within(arena_, here_, std::int32_t(std::max<std::int64_t>(0, reach)), mask);
    else
      possible->tokens.add_to(mask);
  }

  /// Takes over `places` unless they are none, and forgets all others.
  bool move_to(const Places& places) {
    if (places.dead()) {
      arena_.truncate(here_.end);
      return false;
    }
    const auto view = arena_.view(places);
    const std::vector<Place> moved(view.begin(), view.end());
    arena_.truncate(0);
    const bool complete = places.complete;
    here_ = arena_.put(moved);
    here_.complete = complete;
    drop_old_stacks();
    return true;
  }

  /// Call lists that no place refers to any more are many after a while.
  void drop_old_stacks() {
    constexpr std::size_t kMany = 4096;
    if (arena_.stacks().size() < kMany) return;
    PlaceArena fresh(grammar_->automaton, grammar_->trie->longest());
    std::vector<Place> places;
    for (const Place& place : arena_.view(here_)) {
      std::vector<std::int32_t> path;
      for (std::int32_t s = place.stack; s >= 0; s = arena_.stacks().frame(s).parent)
        path.push_back(s);
      std::int32_t stack = CallStacks::kBottom;
      for (auto s = path.rbegin(); s != path.rend(); ++s) {
        const CallStacks::Frame& frame = arena_.stacks().frame(*s);
        stack = fresh.stacks().push(stack, frame.call, frame.count);
      }
      places.push_back({stack, place.state});
    }
    const bool complete = here_.complete;
    arena_ = std::move(fresh);
    here_ = arena_.put(places);
    here_.complete = complete;
  }

  std::shared_ptr<const CompiledGrammar> grammar_;
  std::vector<TokenId> end_ids_;
  GrammarEnd end_;
  PlaceArena arena_;
  Places here_;
  bool ended_ = false;  // by one of end_ids_
};

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar,
                               std::vector<TokenId> end_ids, GrammarEnd end)
    : impl_(std::make_unique<Impl>(std::move(grammar), std::move(end_ids), end)) {}
GrammarMatcher::~GrammarMatcher() = default;
GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;

void GrammarMatcher::fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) {
  impl_->fill_mask(mask, tokens_left);
}
bool GrammarMatcher::accept(TokenId token) { return impl_->accept(token); }
bool GrammarMatcher::accept_bytes(std::string_view bytes) { return impl_->accept_bytes(bytes); }
bool GrammarMatcher::complete() const { return impl_->complete(); }
bool GrammarMatcher::finished() const { return impl_->finished(); }

}  // namespace isotope::text
