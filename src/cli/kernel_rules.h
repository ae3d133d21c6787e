// What a compiled kernel must not do: spill, take more than a block may have, read weights or K and
// V in small pieces.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jit/inspect/kernel_facts.h"

namespace isotope::cli {

/// What kernel text says of itself, in a comment line between the KERNEL before and its own:
///
///   // STREAMS weights                                every load in its streaming loops has 16
///   bytes a lane or more
///   // STREAMS weights, narrow loads <= 1/2: scales   or at most half as many narrow ones as wide
///   ones, for that reason
///   // STREAMS nothing                                neither weights nor K and V are read, or
///   only a few rows
///
/// Streaming loops are those with loads marked as read once (load_stream()); where there are none,
/// those with bulk loads, or with loads of 16 bytes beside matrix instructions. Functions named
/// linear_* and attention_* must say either.
struct StreamRule {
  bool streams = false;
  int narrow = 0, wide = 1;  ///< narrow / wide: how many narrow loads are allowed for each wide one
};

/// By function. Errors: invalid_argument naming file and line for a STREAMS line that is not of the
/// form above.
using StreamRules = std::map<std::string, StreamRule, std::less<>>;
void read_stream_rules(std::string_view text, std::string_view file, StreamRules& rules);

struct KernelRow {
  std::string unit, file;
  jit::KernelFacts facts;
  bool launched = false;            ///< the models ask for this function of the unit
  int threads = 0;                  ///< of its largest block
  std::int64_t dynamic_shared = 0;  ///< of its largest launch
  jit::Occupancy occupancy;
  std::int64_t shared() const { return facts.shared_bytes + dynamic_shared; }
};

/// Loops that read weights or K and V, by the rule above.
std::vector<jit::Loop> streaming_loops(const jit::KernelFacts& facts);

/// What is wrong with it, a line each; nothing if all is well. SGPRs in lanes of a VGPR cost
/// instructions but no memory: only linear_* and attention_* may not have them.
std::vector<std::string> check_kernel(const KernelRow& row, std::string_view arch,
                                      const StreamRules& rules, std::size_t shared_per_block);

}  // namespace isotope::cli
