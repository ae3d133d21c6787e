#include "jit/inspect/machine_code.h"

#include <algorithm>
#include <set>

namespace isotope::jit {
namespace {

using Kind = Instruction::Kind;

/// Straight pieces of code, by number, in order of addresses; 0 is where the kernel begins.
struct Block {
  std::size_t begin = 0, end = 0;  // instructions
  std::vector<int> next, before;
};

std::vector<Block> blocks_of(const std::vector<Instruction>& code) {
  std::set<std::size_t> starts = {0};
  const auto index_of = [&code](std::uint64_t address) {
    return std::size_t(
        std::lower_bound(code.begin(), code.end(), address,
                         [](const Instruction& i, std::uint64_t a) { return i.address < a; }) -
        code.begin());
  };
  for (std::size_t i = 0; i < code.size(); ++i) {
    const Kind kind = code[i].kind;
    if (kind == Kind::branch || kind == Kind::jump) starts.insert(index_of(code[i].target));
    if (kind == Kind::branch || kind == Kind::jump || kind == Kind::end) starts.insert(i + 1);
  }
  starts.erase(starts.lower_bound(code.size()), starts.end());
  std::vector<Block> blocks;
  std::map<std::size_t, int> number;
  for (const std::size_t start : starts) {
    if (!blocks.empty()) blocks.back().end = start;
    number[start] = int(blocks.size());
    blocks.push_back({start, code.size(), {}, {}});
  }
  const auto connect = [&](int from, std::size_t to) {
    const auto found = number.find(to);
    if (found == number.end()) return;  // beyond the kernel's end
    blocks[std::size_t(from)].next.push_back(found->second);
    blocks[std::size_t(found->second)].before.push_back(from);
  };
  for (int b = 0; b < int(blocks.size()); ++b) {
    const Instruction& last = code[blocks[std::size_t(b)].end - 1];
    if (last.kind == Kind::branch || last.kind == Kind::jump) connect(b, index_of(last.target));
    if (last.kind != Kind::jump && last.kind != Kind::end) connect(b, blocks[std::size_t(b)].end);
  }
  return blocks;
}

/// dominators[b]: the blocks that every way from the start to b passes, b included.
std::vector<std::vector<bool>> dominators_of(const std::vector<Block>& blocks) {
  const std::size_t count = blocks.size();
  std::vector<std::vector<bool>> dominators(count, std::vector<bool>(count, true));
  dominators[0].assign(count, false);
  dominators[0][0] = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t b = 1; b < count; ++b) {
      std::vector<bool> all(count, !blocks[b].before.empty());
      for (const int before : blocks[b].before)
        for (std::size_t d = 0; d < count; ++d)
          all[d] = all[d] && dominators[std::size_t(before)][d];
      all[b] = true;
      if (all != dominators[b]) {
        dominators[b] = std::move(all);
        changed = true;
      }
    }
  }
  return dominators;
}

void add(const Instruction& instruction, CodeCounts& counts) {
  switch (instruction.kind) {
    case Kind::load:
      ++counts.loads[instruction.bytes];
      if (instruction.streams) ++counts.streamed[instruction.bytes];
      break;
    case Kind::bulk_load:
      ++counts.bulk_loads;
      break;
    case Kind::matrix:
      ++counts.matrix[instruction.type];
      break;
    case Kind::local:
      ++counts.local;
      break;
    default:
      break;
  }
}

}  // namespace

int CodeCounts::wide() const {
  int sum = bulk_loads;
  for (const auto& [bytes, number] : loads) sum += bytes >= 16 ? number : 0;
  return sum;
}

int CodeCounts::narrow() const {
  int sum = 0;
  for (const auto& [bytes, number] : loads) sum += bytes < 16 ? number : 0;
  return sum;
}

CodeCounts count(const std::vector<Instruction>& code) {
  CodeCounts counts;
  for (const Instruction& instruction : code) add(instruction, counts);
  return counts;
}

std::vector<Loop> find_loops(const std::vector<Instruction>& code) {
  if (code.empty()) return {};
  const std::vector<Block> blocks = blocks_of(code);
  const auto dominators = dominators_of(blocks);
  std::map<int, std::set<int>> bodies;  // by header
  for (int b = 0; b < int(blocks.size()); ++b)
    for (const int header : blocks[std::size_t(b)].next) {
      if (!dominators[std::size_t(b)][std::size_t(header)]) continue;
      // A way back: the loop is all from which it can be reached without passing the header.
      std::set<int>& body = bodies[header];
      body.insert(header);
      std::vector<int> open = {b};
      while (!open.empty()) {
        const int at = open.back();
        open.pop_back();
        if (!body.insert(at).second) continue;
        const std::vector<int>& before = blocks[std::size_t(at)].before;
        open.insert(open.end(), before.begin(), before.end());
      }
    }
  std::vector<Loop> loops;
  for (const auto& [header, body] : bodies) {
    Loop loop{.first = code[blocks[std::size_t(header)].begin].address};
    for (const int b : body) {
      const bool inside = std::any_of(
          bodies.begin(), bodies.end(), [&, outer = header, &outer_body = body](const auto& other) {
            return other.first != outer && outer_body.contains(other.first) &&
                   other.second.contains(b);
          });
      for (std::size_t i = blocks[std::size_t(b)].begin; i < blocks[std::size_t(b)].end; ++i) {
        add(code[i], loop.counts);
        if (!inside) add(code[i], loop.own);
      }
    }
    for (const auto& [other, other_body] : bodies)
      if (other != header && body.contains(other))
        loop.inside.push_back(code[blocks[std::size_t(other)].begin].address);
    loops.push_back(std::move(loop));
  }
  return loops;
}

}  // namespace isotope::jit
