// Where a text may stand in an automaton: several places at once, each a state with the calls that
// it returns to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/grammar/automaton.h"

namespace isotope::text {

/// Calls under way, as linked lists that share their ends. Equal lists have equal numbers, so that
/// places can be compared by number.
class CallStacks {
 public:
  static constexpr std::int32_t kBottom = -1;  ///< of the whole grammar
  static constexpr std::int32_t kBase = -2;    ///< of a rule whose caller is not known
  static constexpr std::int32_t kTooDeep = -3;
  static constexpr std::int32_t kMaxDepth = 256;

  struct Frame {
    std::int32_t parent, call, count;  ///< `count` texts of the call's rule are behind us
    std::int32_t distance;             ///< fewest bytes from the end of the current text to the end
    std::int32_t depth;
    std::uint64_t key;  ///< equal for lists that no token can tell apart
    std::uint32_t slot;
  };

  /// `longest`: bytes of the longest token.
  CallStacks(const Automaton& automaton, std::int32_t longest);

  const Frame& frame(std::int32_t stack) const { return frames_[std::size_t(stack)]; }
  std::int32_t distance(std::int32_t stack) const { return stack < 0 ? 0 : frame(stack).distance; }
  std::uint64_t key(std::int32_t stack) const {
    return stack < 0 ? std::uint64_t(-stack) : frame(stack).key;
  }
  /// kTooDeep beyond kMaxDepth.
  std::int32_t push(std::int32_t parent, std::int32_t call, std::int32_t count);

  std::size_t size() const { return frames_.size(); }
  /// Forgets the lists that were added after there were `size`.
  void truncate(std::size_t size);

 private:
  std::size_t locate(std::int32_t parent, std::int32_t call, std::int32_t count) const;
  void grow();
  Frame make_frame(std::int32_t parent, std::int32_t call, std::int32_t count) const;

  const Automaton* automaton_;
  std::int32_t longest_;
  std::vector<Frame> frames_;
  std::vector<std::int32_t> slots_;  // open addressing; -1: free
};

struct Place {
  std::int32_t stack, state;
  bool operator==(const Place&) const = default;
};

/// All places after the same text.
struct Places {
  std::size_t begin = 0, end = 0;  ///< into PlaceArena
  bool complete = false;           ///< the grammar's text may end here
  bool left = false;               ///< so may that of the rule at CallStacks::kBase
  bool dead() const { return begin == end && !complete && !left; }
};

/// Places, those of longer texts after those of shorter ones.
class PlaceArena {
 public:
  PlaceArena(const Automaton& automaton, std::int32_t longest)
      : automaton_(&automaton), stacks_(automaton, longest) {}

  const Automaton& automaton() const { return *automaton_; }
  CallStacks& stacks() { return stacks_; }
  const CallStacks& stacks() const { return stacks_; }
  std::span<const Place> view(const Places& places) const {
    return std::span(places_).subspan(places.begin, places.end - places.begin);
  }

  /// At the beginning of the grammar's text.
  Places start();
  /// Exactly these.
  Places put(std::span<const Place> places);
  /// After one byte, one token more.
  Places step(const Places& from, std::uint8_t byte);
  Places step_token(const Places& from, TokenId id);
  /// After the text of the rule that `stack` returns from.
  Places leave(std::int32_t stack);
  /// Forgets all places from `end` on.
  void truncate(std::size_t end) { places_.resize(end); }

  std::int32_t distance(const Place& place) const {
    return add_distance(automaton_->states[std::size_t(place.state)].distance,
                        stacks_.distance(place.stack));
  }
  /// Fewest bytes to the end; 0 if it may be here.
  std::int32_t distance(const Places& places) const;

 private:
  /// A place that was followed, so that it is not followed twice.
  struct Visit {
    Place place;
    bool has_read;
    bool operator==(const Visit&) const = default;
  };

  void begin(Places& places);
  void arrive(Places& places, const Place& place, bool has_read);
  void enter(Places& places, std::int32_t stack, std::int32_t call, std::int32_t count);
  void leave(Places& places, std::int32_t stack);
  void add(Places& places, const Place& place);

  const Automaton* automaton_;
  CallStacks stacks_;
  std::vector<Place> places_;
  std::vector<Visit> visits_;
};

}  // namespace isotope::text
