// What a lane of the emulated GPU finds around its stack: shared by kernel text
// (intrinsics_emulated.cuh) and by the runtime that schedules lanes (fibers.cc). No header of the C
// or C++ library may be included here.
//
// One block at a time lives in a region of address space, aligned to its size. The stack of thread
// t is slot t of the region, so a lane learns its thread and its block from the stack pointer
// alone, in two instructions.
#pragma once

namespace isotope::emulated {

constexpr int kMaxThreads = 1024;
constexpr unsigned long kSlotBits = 18;  // 256 KiB a stack
constexpr unsigned long kRegionBits =
    29;  // 2048 slots: 1024 stacks, then the block, then its shared memory

/// What a lane brings to a meeting of its warp and takes away from it.
struct Lane {
  unsigned in[16];
  unsigned out[8];
};
/// Run once, when all lanes of the warp have arrived: reads every lane's `in`, writes every lane's
/// `out`.
using Meeting = void (*)(Lane* lanes, int count);

struct Block {
  unsigned grid[3];
  unsigned index[3];
  unsigned threads;
  unsigned shared_bytes;
  unsigned char* dynamic_shared;
  void (*barrier)();
  void (*meet)(Meeting meeting, const char* what);
  /// Ends the launch with an error that names kernel, block and thread.
  [[noreturn]] void (*fail)(const char* why);
  /// Asynchronous copies of the calling lane: start one in the open group, close the group, finish
  /// all but `left` groups.
  void (*start_copy)(void* target, const void* source, unsigned bytes);
  void (*close_copies)();
  void (*finish_copies)(unsigned left);
  Lane lanes[kMaxThreads];
};

__attribute__((always_inline)) inline unsigned long stack_pointer() {
  unsigned long sp;
  asm("movq %%rsp, %0"
      : "=r"(sp));  // the same thread and block throughout a function: free to be merged
  return sp;
}
__attribute__((always_inline)) inline int this_thread() {
  return int(stack_pointer() >> kSlotBits & (kMaxThreads - 1));
}
__attribute__((always_inline)) inline Block* this_block() {
  return reinterpret_cast<Block*>((stack_pointer() & ~((1ul << kRegionBits) - 1)) +
                                  (static_cast<unsigned long>(kMaxThreads) << kSlotBits));
}

}  // namespace isotope::emulated
