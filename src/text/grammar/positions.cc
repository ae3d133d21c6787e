#include "text/grammar/positions.h"

#include <algorithm>

#include "base/error.h"

namespace isotope::text {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

}  // namespace

// ---- calls under way

CallStacks::CallStacks(const Automaton& automaton, std::int32_t longest)
    : automaton_(&automaton), longest_(longest), slots_(64, -1) {}

std::size_t CallStacks::locate(std::int32_t parent, std::int32_t call, std::int32_t count) const {
  const std::uint64_t hash =
      mix(mix(mix(0, std::uint64_t(parent)), std::uint64_t(call)), std::uint64_t(count));
  for (std::size_t slot = hash >> 7;; ++slot) {
    slot &= slots_.size() - 1;
    if (slots_[slot] < 0) return slot;
    const Frame& found = frame(slots_[slot]);
    if (found.parent == parent && found.call == call && found.count == count) return slot;
  }
}

std::int32_t CallStacks::push(std::int32_t parent, std::int32_t call, std::int32_t count) {
  std::size_t slot = locate(parent, call, count);
  if (slots_[slot] >= 0) return slots_[slot];
  Frame added = make_frame(parent, call, count);
  if (added.depth > kMaxDepth) return kTooDeep;
  if (2 * (frames_.size() + 1) > slots_.size()) {
    grow();
    slot = locate(parent, call, count);
  }
  added.slot = std::uint32_t(slot);
  frames_.push_back(added);
  return slots_[slot] = std::int32_t(frames_.size() - 1);
}

CallStacks::Frame CallStacks::make_frame(std::int32_t parent, std::int32_t call,
                                         std::int32_t count) const {
  const Automaton::Call& edge = automaton_->calls[std::size_t(call)];
  const Automaton::Rule& rule = automaton_->rules[std::size_t(edge.rule)];
  const std::int32_t missing = rule.nullable ? 0 : std::max(0, edge.min - count - 1);
  const auto inside = std::min<std::int64_t>(std::int64_t(missing) * rule.distance, kNever);
  Frame frame{parent, call, count, 0, 0, 0, 0};
  frame.distance = add_distance(
      std::int32_t(inside),
      add_distance(automaton_->states[std::size_t(edge.target)].distance, distance(parent)));
  frame.depth = parent < 0 ? 1 : this->frame(parent).depth + 1;
  // A token has at most `longest_` bytes and so ends at most so many texts: how many more than that
  // are missing or allowed does not matter to it.
  const std::int32_t to_max = edge.max == kUnbounded ? longest_ + 1 : edge.max - count;
  frame.key = mix(mix(mix(mix(1, key(parent)), std::uint64_t(call)),
                      std::uint64_t(std::min(std::max(0, edge.min - count), longest_ + 1))),
                  std::uint64_t(std::min(to_max, longest_ + 1)));
  return frame;
}

void CallStacks::grow() {
  slots_.assign(2 * slots_.size(), -1);
  // In their order, so that truncate() takes away what came last.
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    Frame& frame = frames_[i];
    const std::size_t slot = locate(frame.parent, frame.call, frame.count);
    slots_[slot] = std::int32_t(i);
    frame.slot = std::uint32_t(slot);
  }
}

void CallStacks::truncate(std::size_t size) {
  while (frames_.size() > size) {
    slots_[frames_.back().slot] = -1;
    frames_.pop_back();
  }
}

// ---- places

void PlaceArena::begin(Places& places) {
  places.begin = places.end = places_.size();
  visits_.clear();
}

void PlaceArena::add(Places& places, const Place& place) {
  const auto first = places_.begin() + std::ptrdiff_t(places.begin);
  if (std::find(first, places_.end(), place) != places_.end()) return;
  places_.push_back(place);
  places.end = places_.size();
}

/// Follows what can be followed without reading: into calls, past them, and out of the rule if it
/// may end here. A rule that has read nothing is not left: whoever called it has gone past it
/// already.
void PlaceArena::arrive(Places& places, const Place& place, bool has_read) {
  const Automaton::State& state = automaton_->states[std::size_t(place.state)];
  if (state.plain) return add(places, place);
  const Visit visit{place, has_read};
  if (std::find(visits_.begin(), visits_.end(), visit) != visits_.end()) return;
  visits_.push_back(visit);
  if (state.reads) add(places, place);
  const std::int32_t end = automaton_->states[std::size_t(place.state) + 1].first_call;
  for (std::int32_t call = state.first_call; call < end; ++call) {
    const Automaton::Call& edge = automaton_->calls[std::size_t(call)];
    if (edge.max > 0) enter(places, place.stack, call, 0);
    if (edge.may_be_empty) arrive(places, {place.stack, edge.target}, has_read);
  }
  if (state.final && has_read) leave(places, place.stack);
}

void PlaceArena::enter(Places& places, std::int32_t stack, std::int32_t call, std::int32_t count) {
  const Automaton::Call& edge = automaton_->calls[std::size_t(call)];
  // Nothing is left to do after a call at the end of its rule: its text ends ours too.
  const bool at_end = edge.max == 1 && automaton_->states[std::size_t(edge.target)].last;
  const std::int32_t inner = at_end ? stack : stacks_.push(stack, call, count);
  if (inner == CallStacks::kTooDeep) return;
  arrive(places, {inner, automaton_->rules[std::size_t(edge.rule)].start}, false);
}

void PlaceArena::leave(Places& places, std::int32_t stack) {
  if (stack == CallStacks::kBottom) {
    places.complete = true;
    return;
  }
  if (stack == CallStacks::kBase) {
    places.left = true;
    return;
  }
  const CallStacks::Frame frame = stacks_.frame(stack);
  const Automaton::Call& edge = automaton_->calls[std::size_t(frame.call)];
  const std::int32_t count = frame.count + 1;
  if (count < edge.max)
    enter(places, frame.parent, frame.call,
          edge.max == kUnbounded ? std::min(count, edge.min) : count);
  if (count >= edge.min || edge.may_be_empty) arrive(places, {frame.parent, edge.target}, true);
}

Places PlaceArena::start() {
  Places places;
  begin(places);
  const Automaton::Rule& root = automaton_->rules[std::size_t(automaton_->root)];
  arrive(places, {CallStacks::kBottom, root.start}, false);
  places.complete = root.nullable;
  return places;
}

Places PlaceArena::put(std::span<const Place> all) {
  Places places;
  begin(places);
  places_.insert(places_.end(), all.begin(), all.end());
  places.end = places_.size();
  return places;
}

Places PlaceArena::step(const Places& from, std::uint8_t byte) {
  Places places;
  begin(places);
  for (std::size_t i = from.begin; i < from.end; ++i) {
    const Place place = places_[i];
    const std::int32_t target = automaton_->step(place.state, byte);
    if (target >= 0) arrive(places, {place.stack, target}, true);
  }
  return places;
}

Places PlaceArena::step_token(const Places& from, TokenId id) {
  Places places;
  begin(places);
  for (std::size_t i = from.begin; i < from.end; ++i) {
    const Place place = places_[i];
    for (const Automaton::TokenEdge& edge : automaton_->tokens_of(place.state))
      if (edge.id == id && automaton_->states[std::size_t(edge.target)].distance < kNever)
        arrive(places, {place.stack, edge.target}, true);
  }
  return places;
}

Places PlaceArena::leave(std::int32_t stack) {
  Places places;
  begin(places);
  leave(places, stack);
  return places;
}

std::int32_t PlaceArena::distance(const Places& places) const {
  if (places.complete || places.left) return 0;
  std::int32_t least = kNever;
  for (const Place& place : view(places)) least = std::min(least, distance(place));
  return least;
}

}  // namespace isotope::text
