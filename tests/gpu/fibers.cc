// Threads of a block as fibers that switch stacks when they wait.
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>
#include <vector>

#include "tests/gpu/scheduler.h"

#if !defined(__x86_64__)
#error "the emulated GPU switches stacks in x86-64 code"
#endif

// isotope_switch(void** saved, void* next): keeps what a called function must keep, goes on where
// `next` was left. isotope_resume is its second half: the handler of faults sends a thread there.
asm(R"(
.text
.globl isotope_switch
.hidden isotope_switch
.type isotope_switch, @function
isotope_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
.globl isotope_resume
.hidden isotope_resume
isotope_resume:
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size isotope_switch, .-isotope_switch
)");
extern "C" void isotope_switch(void** saved, void* next);
extern "C" void isotope_resume();

namespace isotope::emulated {

namespace {

constexpr std::size_t kSlot = std::size_t(1) << kSlotBits;
constexpr std::size_t kRegionBytes = std::size_t(1) << kRegionBits;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kSharedSlot = kMaxThreads + 8;  // where dynamic shared memory begins
constexpr unsigned char kTail = 0xa5;

Scheduler& scheduler() { return *static_cast<Scheduler*>(this_block()); }

/// Which block this OS thread runs at the moment, for the handler of faults.
thread_local Scheduler* running = nullptr;

std::uint64_t advance(Scheduler& s) {
  s.random ^= s.random << 13;
  s.random ^= s.random >> 7;
  s.random ^= s.random << 17;
  return s.random;
}

int pick_bit(const Scheduler& s, std::uint32_t mask) {
  if (s.order == Order::forward) return std::countr_zero(mask);
  if (s.order == Order::reverse) return 31 - std::countl_zero(mask);
  for (int skip = int(s.random >> 33) % std::popcount(mask); skip > 0; --skip) mask &= mask - 1;
  return std::countr_zero(mask);
}

/// The thread to run next, taken from the ready ones; -1 if there is none. A warp runs as far as it
/// can.
int take_next(Scheduler& s) {
  if (s.ready_warps == 0) return -1;
  if (s.order == Order::random) advance(s);
  if (s.order == Order::random || !(s.ready_warps >> s.current_warp & 1u))
    s.current_warp = pick_bit(s, s.ready_warps);
  Warp& warp = s.warps[s.current_warp];
  const int lane = pick_bit(s, warp.ready);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) s.ready_warps &= ~(1u << s.current_warp);
  return s.current_warp * 32 + lane;
}

[[noreturn]] void leave(Scheduler& s) {
  void* dropped;
  isotope_switch(&dropped, s.main_sp);
  std::abort();
}

[[noreturn]] void fail(const char* why) {
  Scheduler& s = scheduler();
  s.failure = {why, "", this_thread()};
  leave(s);
}

std::string deadlock(const Scheduler& s) {
  int at_barrier = 0, ended = 0;
  std::ostringstream meetings;
  for (unsigned w = 0; w * 32 < s.threads; ++w) {
    const Warp& warp = s.warps[w];
    at_barrier += std::popcount(warp.barrier);
    ended += std::popcount(warp.ended);
    if (warp.waiting)
      meetings << ", " << std::popcount(warp.waiting) << " of warp " << w << " in " << warp.what;
  }
  std::ostringstream text;
  text << ": of " << s.threads << " threads " << at_barrier << " wait at block_barrier"
       << meetings.str() << ", " << ended << " have ended";
  return text.str();
}

/// Leaves the calling fiber, which waits or has ended, for one that can run.
void run_another(Scheduler& s, int thread) {
  const int next = take_next(s);
  if (next == thread) return;
  if (next < 0) {
    if (s.live > 0) s.failure = {"deadlock", deadlock(s)};
    isotope_switch(&s.sp[thread], s.main_sp);
  } else {
    isotope_switch(&s.sp[thread], s.sp[next]);
  }
}

void barrier() {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  s.warps[thread / 32].barrier |= 1u << thread % 32;
  if (++s.arrived == int(s.threads)) {
    s.arrived = 0;
    for (unsigned w = 0; w * 32 < s.threads; ++w) {
      s.warps[w].ready = s.warps[w].barrier;
      s.warps[w].barrier = 0;
      s.ready_warps |= 1u << w;
    }
    s.current_warp = pick_bit(s, s.ready_warps);
  }
  run_another(s, thread);
}

void meet(Meeting meeting, const char* what) {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  Warp& warp = s.warps[thread / 32];
  if (warp.waiting != 0 && warp.meeting != meeting) {
    s.failure = {"lanes of one warp meet at different operations",
                 std::string(": ") + what + " and " + warp.what, thread};
    leave(s);
  }
  warp.meeting = meeting;
  warp.what = what;
  warp.waiting |= 1u << thread % 32;
  if (warp.waiting == warp.all) {
    meeting(s.lanes + thread / 32 * 32, std::popcount(warp.all));
    warp.waiting = 0;
    warp.ready = warp.all;
    s.ready_warps |= 1u << thread / 32;
  }
  run_another(s, thread);
}

// Asynchronous copies happen as late as they may, so that whoever does not wait for one reads what
// was there before; or at once, so that whoever still needed what was there misses it.
void start_copy(void* target, const void* source, unsigned bytes) {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  if (s.order == Order::reverse || (s.order == Order::random && (advance(s) >> 40 & 1))) {
    std::memcpy(target, source, bytes);
    return;
  }
  s.copies[thread].push_back({target, source, bytes, s.open_group[thread]});
}
void close_copies() { ++scheduler().open_group[this_thread()]; }
void finish_copies(unsigned left) {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  std::vector<PendingCopy>& copies = s.copies[thread];
  std::size_t done = 0;
  for (; done < copies.size() && copies[done].group + left < s.open_group[thread]; ++done)
    std::memcpy(copies[done].target, copies[done].source, copies[done].bytes);
  copies.erase(copies.begin(), copies.begin() + std::ptrdiff_t(done));
}

[[noreturn]] void lane_main() {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  s.function->entry(s.params);
  --s.live;
  s.warps[thread / 32].ended |= 1u << thread % 32;
  run_another(s, thread);
  std::abort();
}

/// A wild access of a lane ends its block, not the process.
struct sigaction previous_handlers[2];
void on_fault(int number, siginfo_t* info, void* context_) {
  ucontext_t& context = *static_cast<ucontext_t*>(context_);
  auto& registers = context.uc_mcontext.gregs;
  Scheduler* s = running;
  if (s == nullptr || (std::uint64_t(registers[REG_RSP]) & ~(kRegionBytes - 1)) !=
                          (reinterpret_cast<std::uint64_t>(s) & ~(kRegionBytes - 1))) {
    sigaction(number, &previous_handlers[number == SIGBUS],
              nullptr);  // happens again, under the old handler
    return;
  }
  const int thread = int(std::uint64_t(registers[REG_RSP]) >> kSlotBits & (kMaxThreads - 1));
  const auto address = reinterpret_cast<std::uint64_t>(info->si_addr);
  const bool stack = address >> kSlotBits == std::uint64_t(registers[REG_RSP]) >> kSlotBits;
  s->failure.why = stack ? "stack overflow" : "illegal address";
  s->failure.thread = thread;
  s->failure.address = info->si_addr;
  s->failure.instruction = reinterpret_cast<const void*>(registers[REG_RIP]);
  registers[REG_RSI] = reinterpret_cast<std::int64_t>(s->main_sp);
  registers[REG_RIP] = reinterpret_cast<std::int64_t>(&isotope_resume);
}

}  // namespace

void catch_faults() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous_handlers[0]);
    sigaction(SIGBUS, &action, &previous_handlers[1]);
  });
  // The stack that overflowed cannot carry the handler. Kept as long as the thread.
  static thread_local bool has_stack = false;
  if (!has_stack) {
    stack_t old = {};
    sigaltstack(nullptr, &old);
    if (old.ss_flags & SS_DISABLE) {
      constexpr std::size_t kBytes = 64 * 1024;
      stack_t fresh = {};
      fresh.ss_sp =
          mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      fresh.ss_size = kBytes;
      sigaltstack(&fresh, nullptr);
    }
    has_stack = true;
  }
}

namespace {

/// Address space for one block: stacks with guard pages, the scheduler, shared memory.
Scheduler* make_region() {
  auto* reserved = static_cast<unsigned char*>(mmap(
      nullptr, 2 * kRegionBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (reserved == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<std::uint64_t>(reserved);
  const std::uint64_t base = (begin + kRegionBytes - 1) & ~(kRegionBytes - 1);
  if (base > begin) munmap(reserved, base - begin);
  munmap(reinterpret_cast<void*>(base + kRegionBytes), begin + kRegionBytes - base);
  auto* memory = reinterpret_cast<unsigned char*>(base + kMaxThreads * kSlot);
  static_assert(sizeof(Scheduler) < (kSharedSlot - kMaxThreads) * kSlot);
  mprotect(memory, (kSharedSlot - kMaxThreads) * kSlot, PROT_READ | PROT_WRITE);
  // The page behind dynamic shared memory stays closed.
  mprotect(reinterpret_cast<void*>(base + kSharedSlot * kSlot), kMaxShared, PROT_READ | PROT_WRITE);
  auto* s = new (memory) Scheduler();
  s->barrier = barrier;
  s->meet = meet;
  s->fail = fail;
  s->start_copy = start_copy;
  s->close_copies = close_copies;
  s->finish_copies = finish_copies;
  return s;
}

unsigned char* region_base(Scheduler* s) {
  return reinterpret_cast<unsigned char*>(reinterpret_cast<std::uint64_t>(s) & ~(kRegionBytes - 1));
}

std::mutex regions_mutex;
std::vector<Scheduler*> free_regions;

}  // namespace

Scheduler* take_region() {
  const std::lock_guard lock(regions_mutex);
  if (free_regions.empty()) return make_region();
  Scheduler* s = free_regions.back();
  free_regions.pop_back();
  return s;
}
void give_region(Scheduler* s) {
  const std::lock_guard lock(regions_mutex);
  free_regions.push_back(s);
}

namespace {

void prepare_stack(Scheduler& s, int thread) {
  unsigned char* slot = region_base(&s) + std::size_t(thread) * kSlot;
  if (thread >= s.stacks) {
    mprotect(slot + kPage, kSlot - kPage, PROT_READ | PROT_WRITE);
    s.stacks = thread + 1;
  }
  // Stacks begin at different places of their slots: otherwise all of them would share a few lines
  // of the caches.
  auto* top = reinterpret_cast<void**>(slot + kSlot - 64 - std::size_t(thread) * 5 % 512 * 64);
  void** frame = top - 8;
  std::fill(frame, top, nullptr);
  frame[6] = reinterpret_cast<void*>(&lane_main);
  s.sp[thread] = frame;
  s.copies[thread].clear();
  s.open_group[thread] = 0;
}

}  // namespace

void run_block(Scheduler& s) {
  const std::size_t tail = (s.shared_bytes + 1023) / 1024 * 1024;
  s.dynamic_shared = region_base(&s) + kSharedSlot * kSlot + kMaxShared - tail;
  std::memset(s.dynamic_shared, 0xff, s.shared_bytes);
  std::memset(s.dynamic_shared + s.shared_bytes, kTail, tail - s.shared_bytes);
  if (s.function->shared_memory)
    std::memset(s.function->shared_memory(s.function->code), 0xff, s.function->shared_memory_bytes);
  s.ready_warps = 0;
  s.arrived = 0;
  s.live = int(s.threads);
  for (unsigned w = 0; w * 32 < s.threads; ++w) {
    Warp& warp = s.warps[w] = Warp();
    const unsigned lanes = std::min(32u, s.threads - w * 32);
    warp.all = warp.ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
    s.ready_warps |= 1u << w;
  }
  for (unsigned t = 0; t < s.threads; ++t) prepare_stack(s, int(t));
  s.current_warp = pick_bit(s, s.ready_warps);
  running = &s;
  isotope_switch(&s.main_sp, s.sp[take_next(s)]);
  running = nullptr;
  const unsigned char* end = s.dynamic_shared + tail;
  if (!s.failure.why && std::find_if(s.dynamic_shared + s.shared_bytes, s.dynamic_shared + tail,
                                     [](unsigned char c) { return c != kTail; }) != end)
    s.failure.why = "something was written behind dynamic shared memory";
}

}  // namespace isotope::emulated
