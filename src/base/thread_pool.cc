#include "base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace isotope {
namespace {

// About 20 µs on current CPUs: longer than the serial code between two loops of a decode step,
// shorter than anything that a user would notice in idle CPU time.
constexpr int kSpinRounds = 2000;

/// CPUs granted by cgroup v2's cpu.max ("quota period"), or a large number without a limit.
int cgroup_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  try {
    return std::max(1, int(std::ceil(std::stod(quota) / period)));
  } catch (const std::exception&) {
    return 1 << 20;
  }
}

}  // namespace

int available_cpus() {
  cpu_set_t set;
  int count = int(std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  return std::max(1, std::min(count, cgroup_cpus()));
}

struct ThreadPool::State {
  // One generation a loop: every worker enters each one and counts itself out of `active`.
  std::atomic<std::uint64_t> generation{0};
  std::atomic<std::int64_t> next_task{0};
  std::atomic<int> active{0};
  std::atomic<bool> stopping{false};
  std::int64_t tasks = 0;
  const std::function<void(std::int64_t, int)>* body = nullptr;

  std::mutex mutex;
  std::condition_variable wake;
  int sleepers = 0;

  std::mutex error_mutex;
  std::exception_ptr error;

  std::vector<std::thread> threads;

  void work(int worker) {
    try {
      for (;;) {
        const std::int64_t task = next_task.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks) return;
        (*body)(task, worker);
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
      next_task.store(tasks, std::memory_order_relaxed);  // the rest is not started
    }
  }

  void wait_for_work(std::uint64_t seen) {
    for (int round = 0; round < kSpinRounds; ++round) {
      if (generation.load(std::memory_order_acquire) != seen || stopping.load()) return;
      _mm_pause();
    }
    std::unique_lock lock(mutex);
    ++sleepers;
    wake.wait(lock, [&] { return generation.load() != seen || stopping.load(); });
    --sleepers;
  }

  void run_worker(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      wait_for_work(seen);
      if (stopping.load()) return;
      seen = generation.load(std::memory_order_acquire);
      work(worker);
      active.fetch_sub(1, std::memory_order_acq_rel);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int count = threads > 0 ? threads : available_cpus();
  for (int worker = 1; worker < count; ++worker)
    state_->threads.emplace_back([state = state_.get(), worker] { state->run_worker(worker); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const { return int(state_->threads.size()) + 1; }

void ThreadPool::parallel_for(std::int64_t tasks,
                              const std::function<void(std::int64_t, int)>& body) {
  State& state = *state_;
  if (tasks <= 0) return;
  if (state.threads.empty() || tasks == 1) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  state.tasks = tasks;
  state.body = &body;
  state.error = nullptr;
  state.next_task.store(0, std::memory_order_relaxed);
  state.active.store(int(state.threads.size()), std::memory_order_relaxed);
  bool sleeping;
  {
    const std::lock_guard lock(state.mutex);
    state.generation.fetch_add(1, std::memory_order_release);
    sleeping = state.sleepers > 0;
  }
  if (sleeping) state.wake.notify_all();
  state.work(0);
  int round = 0;
  while (state.active.load(std::memory_order_acquire) != 0) {
    // Yielding matters when the machine runs something else too: the worker may need this CPU.
    if (++round < kSpinRounds)
      _mm_pause();
    else
      std::this_thread::yield();
  }
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace isotope
