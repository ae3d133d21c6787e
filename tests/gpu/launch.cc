#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>

#include "tests/gpu/scheduler.h"

namespace isotope::emulated {

std::string (*describe_address)(const void* address) = nullptr;

namespace {

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
    run_block(*s);
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
