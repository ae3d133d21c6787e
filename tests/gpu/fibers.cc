#include "tests/gpu/fibers.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/gpu/emulated_block.h"

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

std::string (*describe_address)(const void* address) = nullptr;

namespace {

constexpr std::size_t kSlot = std::size_t(1) << kSlotBits;
constexpr std::size_t kRegionBytes = std::size_t(1) << kRegionBits;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kSharedSlot = kMaxThreads + 8;  // where dynamic shared memory begins
constexpr std::size_t kMaxShared = 256 * 1024;
constexpr unsigned char kTail = 0xa5;

enum class Order { forward, reverse, random };

struct Settings {
  Order order = Order::forward;
  std::uint64_t seed = 1;
  unsigned threads = 2;
};

Settings settings() {
  Settings result;
  if (const char* text = std::getenv("ISOTOPE_EMULATED_ORDER")) {
    if (std::strncmp(text, "reverse", 7) == 0) result.order = Order::reverse;
    if (std::strncmp(text, "random", 6) == 0) {
      result.order = Order::random;
      if (text[6] == ':') result.seed = std::strtoull(text + 7, nullptr, 10) * 2 + 1;
    }
  }
  if (const char* text = std::getenv("ISOTOPE_EMULATED_THREADS"))
    result.threads = std::max(1u, unsigned(std::strtoul(text, nullptr, 10)));
  return result;
}

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

Scheduler& scheduler() { return *static_cast<Scheduler*>(this_block()); }

/// Which block this OS thread runs at the moment, for the handler of faults.
thread_local Scheduler* running = nullptr;

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
  if (s.order == Order::random) {
    s.random ^= s.random << 13;
    s.random ^= s.random >> 7;
    s.random ^= s.random << 17;
  }
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

// Asynchronous copies happen as late as they may: whoever does not wait for one reads what was
// there before.
void start_copy(void* target, const void* source, unsigned bytes) {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  s.copies[thread].push_back({target, source, bytes, s.open_group[thread]});
}
void close_copies() { ++scheduler().open_group[this_thread()]; }
void finish_copies(unsigned left) {
  Scheduler& s = scheduler();
  const int thread = this_thread();
  std::vector<PendingCopy>& copies = s.copies[thread];
  std::size_t done = 0;
  for (; done < copies.size() && copies[done].group + left < s.open_group[thread]; ++done) {
    const PendingCopy& copy = copies[done];
    if (copy.source)
      std::memcpy(copy.target, copy.source, copy.bytes);
    else
      std::memset(copy.target, 0, copy.bytes);
  }
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

struct Job {
  const Function& function;
  const LaunchShape& shape;
  const void* params;
  Settings settings;
  std::uint64_t blocks;
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex{};
  std::string error{};  // the first
  int helpers = 0;      // guarded by the pool
};

std::string line_of(const void* instruction) {
  Dl_info info = {};
  if (!dladdr(instruction, &info) || !info.dli_fname) return "";
  std::ostringstream command;
  command << "addr2line -s -e " << info.dli_fname << " 0x" << std::hex
          << (static_cast<const char*>(instruction) - static_cast<const char*>(info.dli_fbase))
          << " 2>/dev/null";
  std::string line;
  if (FILE* pipe = popen(command.str().c_str(), "r")) {
    char text[512];
    while (std::fgets(text, sizeof(text), pipe)) line += text;
    pclose(pipe);
  }
  line.erase(std::find(line.begin(), line.end(), '\n'), line.end());
  return line.empty() || line[0] == '?' ? "" : " at " + line;
}

std::string message(const Scheduler& s) {
  const Failure& failure = s.failure;
  std::ostringstream text;
  text << "kernel " << s.function->name << ", block (" << s.index[0] << ", " << s.index[1] << ", "
       << s.index[2] << ") of (" << s.grid[0] << ", " << s.grid[1] << ", " << s.grid[2] << ")";
  if (failure.thread >= 0) text << ", thread " << failure.thread << " of " << s.threads;
  text << ": " << failure.why << failure.details;
  if (failure.instruction) {
    text << " " << failure.address << line_of(failure.instruction);
    const auto offset = reinterpret_cast<std::uint64_t>(failure.address) -
                        reinterpret_cast<std::uint64_t>(s.dynamic_shared);
    if (offset < (1u << 20))
      text << ", which is byte " << offset << " of " << s.shared_bytes
           << " of dynamic shared memory";
    else if (describe_address)
      text << describe_address(failure.address);
  }
  return text.str();
}

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

/// Runs the block of s.index.
void run_block(Scheduler& s, const Job& job) {
  const std::size_t tail = (job.shape.shared_bytes + 1023) / 1024 * 1024;
  s.dynamic_shared = region_base(&s) + kSharedSlot * kSlot + kMaxShared - tail;
  std::memset(s.dynamic_shared, 0xff, s.shared_bytes);
  std::memset(s.dynamic_shared + s.shared_bytes, kTail, tail - s.shared_bytes);
  if (job.function.shared_memory)
    std::memset(job.function.shared_memory(job.function.code), 0xff,
                job.function.shared_memory_bytes);
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

/// Takes blocks of a job until there is none left.
void work(Job& job) {
  catch_faults();
  Scheduler* s = take_region();
  s->function = &job.function;
  s->params = job.params;
  s->threads = job.shape.threads;
  s->shared_bytes = job.shape.shared_bytes;
  s->order = job.settings.order;
  for (int i = 0; i < 3; ++i) s->grid[i] = job.shape.grid[std::size_t(i)];
  for (;;) {
    std::uint64_t block = job.next.fetch_add(1);
    if (block >= job.blocks || job.failed) break;
    if (job.settings.order != Order::forward) block = job.blocks - 1 - block;
    s->random = (block + 1) * 0x9e3779b97f4a7c15u ^ job.settings.seed;
    s->index[0] = unsigned(block % s->grid[0]);
    s->index[1] = unsigned(block / s->grid[0] % s->grid[1]);
    s->index[2] = unsigned(block / s->grid[0] / s->grid[1]);
    run_block(*s, job);
    if (s->failure.why) {
      const std::string text = message(*s);
      s->failure = {};
      const std::lock_guard lock(job.mutex);
      if (job.error.empty()) job.error = text;
      job.failed = true;
    }
  }
  give_region(s);
}

/// Threads that help whoever launches. They live as long as the process.
class Helpers {
 public:
  explicit Helpers(unsigned count) {
    for (unsigned i = 0; i < count; ++i) std::thread([this] { serve(); }).detach();
  }
  void run(Job& job) {
    if (job.blocks == 1) return work(job);
    {
      const std::lock_guard lock(mutex_);
      if (job_ == nullptr) job_ = &job;
    }
    wake_.notify_all();
    work(job);
    std::unique_lock lock(mutex_);
    if (job_ == &job) job_ = nullptr;
    done_.wait(lock, [&] { return job.helpers == 0; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return job_ != nullptr && job_->next < job_->blocks; });
      Job& job = *job_;
      ++job.helpers;
      lock.unlock();
      work(job);
      lock.lock();
      --job.helpers;
      done_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
};

}  // namespace

std::string run(const Function& function, const LaunchShape& shape, const void* params) {
  if (shape.threads < 1 || shape.threads > kMaxThreads || shape.shared_bytes > kMaxShared)
    return "kernel " + function.name + ": more threads or shared memory than the emulated GPU has";
  if (function.max_threads && shape.threads > function.max_threads)
    return "kernel " + function.name + ": " + std::to_string(shape.threads) +
           " threads, built for " + std::to_string(function.max_threads);
  Job job{function, shape, params, settings(),
          std::uint64_t(shape.grid[0]) * shape.grid[1] * shape.grid[2]};
  if (job.blocks == 0) return "kernel " + function.name + ": an empty grid";
  alignas(64) unsigned char copy[4096];
  if (function.params_bytes > sizeof(copy))
    return "kernel " + function.name + ": more than 4096 bytes of parameters";
  std::memcpy(copy, params, function.params_bytes);
  job.params = copy;
  static Helpers& helpers = *new Helpers(job.settings.threads - 1);
  helpers.run(job);
  return job.error;
}

}  // namespace isotope::emulated
