// How a block is scheduled: what fibers.cc (one block) and launch.cc (all blocks of a launch)
// share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/gpu/emulated_block.h"
#include "tests/gpu/fibers.h"

namespace isotope::emulated {

constexpr std::size_t kMaxShared = 256 * 1024;  // of a block

/// In which the threads that may run do run.
enum class Order { forward, reverse, random };

struct PendingCopy {
  void* target;
  const void* source;
  unsigned bytes;
  unsigned group;
};

/// Lanes of a warp that can run, wait for a meeting, wait at the block barrier, have ended; and all
/// there are.
struct Warp {
  std::uint32_t ready = 0, waiting = 0, barrier = 0, ended = 0, all = 0;
  Meeting meeting = nullptr;
  const char* what = "";
};

struct Failure {
  const char* why = nullptr;  // null: nothing happened. The handler of faults must not allocate
  std::string details;
  int thread = -1;
  const void* address = nullptr;  // of a fault
  const void* instruction = nullptr;
};

/// One block and what schedules it; lies in the region beside the stacks.
struct Scheduler : Block {
  Warp warps[kMaxThreads / 32];
  std::uint32_t ready_warps;  // those with a ready lane
  int current_warp;
  int arrived;  // at the block barrier
  int live;
  Order order;
  std::uint64_t random;
  void* main_sp;
  void* sp[kMaxThreads];
  std::vector<PendingCopy> copies[kMaxThreads];
  unsigned open_group[kMaxThreads];
  const Function* function;
  const void* params;
  int stacks;  // of which the memory is accessible
  Failure failure;
};

/// A region of its own until it is given back. From any thread.
Scheduler* take_region();
void give_region(Scheduler* region);

/// For the calling thread, once or more often: wild accesses of lanes become failures of their
/// block.
void catch_faults();

/// Runs the block of s.index to its end; s.failure tells how it went.
void run_block(Scheduler& s);

}  // namespace isotope::emulated
