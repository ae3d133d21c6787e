// The tree of tokens and an automaton, walked together.
#pragma once

#include <cstdint>
#include <vector>

#include "text/grammar/positions.h"
#include "text/grammar/token_trie.h"

namespace isotope::text {

/// Calls visit(node, places) for every node below `root` (itself not) whose bytes can follow
/// `from`; visit returns whether to go on below it. Afterwards `arena` is as before.
template <typename Visit>
void walk_tokens(const TokenTrie& trie, std::uint32_t root, PlaceArena& arena, const Places& from,
                 const Visit& visit) {
  struct Level {
    Places places;
    std::size_t stacks;  ///< how many call lists there are with them
  };
  const std::size_t outer_stacks = arena.stacks().size();
  const std::uint16_t depth = trie.node(root).depth;
  std::vector<Level> levels = {{from, outer_stacks}};
  const std::uint32_t end = trie.node(root).end;
  for (std::uint32_t i = root + 1; i < end;) {
    const TokenTrie::Node& node = trie.node(i);
    levels.resize(std::size_t(node.depth - depth));
    arena.truncate(levels.back().places.end);
    arena.stacks().truncate(levels.back().stacks);
    const Places next = arena.step(levels.back().places, node.byte);
    if (next.dead() || !visit(i, next) || next.begin == next.end) {
      i = node.end;
      continue;
    }
    levels.push_back({next, arena.stacks().size()});
    ++i;
  }
  arena.truncate(from.end);
  arena.stacks().truncate(outer_stacks);
}

}  // namespace isotope::text
