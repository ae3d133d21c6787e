// A fixed set of threads that run one parallel loop at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace isotope {

/// Fork-join pool. The calling thread works too, so a pool of n threads starts n - 1.
/// Workers spin briefly between loops (a decode step is a chain of short loops), then sleep.
/// One thread calls at a time; a loop body must not call its own pool.
class ThreadPool {
 public:
  /// `threads` ≤ 0: as many as the CPUs this process may run on.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Runs body(task, worker) for every task in [0, tasks), worker in [0, size()). Tasks are handed
  /// out dynamically in increasing order. Returns when all are done. An exception from a body is
  /// rethrown here after the loop has ended.
  void parallel_for(std::int64_t tasks,
                    const std::function<void(std::int64_t task, int worker)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// CPUs that this process may run on (affinity mask and cgroup quota respected).
int available_cpus();

}  // namespace isotope
