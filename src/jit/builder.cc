#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/thread_pool.h"
#include "jit/cache.h"
#include "jit/jit.h"

namespace isotope::jit {

struct Builder::State {
  explicit State(std::filesystem::path folder) : cache(std::move(folder)) {}
  const Cache cache;
  std::mutex mutex;  // over what follows
  BuildStats stats;
  bool warned = false;
};

Builder::Builder(std::unique_ptr<Compiler> compiler, const SourceMap& sources, std::string arch,
                 std::filesystem::path cache, int jobs)
    : compiler_(std::move(compiler)),
      sources_(sources),
      arch_(std::move(arch)),
      jobs_(jobs),
      state_(std::make_shared<State>(std::move(cache))) {}

std::vector<CodeObject> Builder::build(
    std::span<const Unit> units,
    const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress) {
  std::vector<CodeObject> objects(units.size());
  if (units.empty()) return objects;
  const auto started = std::chrono::steady_clock::now();
  const std::int64_t total = std::int64_t(units.size());
  std::mutex mutex;  // over the three below
  std::int64_t done = 0;
  std::exception_ptr error;
  std::atomic<bool> stopped = false;
  ThreadPool pool(int(std::min<std::int64_t>(total, jobs_ > 0 ? jobs_ : available_cpus())));
  pool.parallel_for(total, [&](std::int64_t i, int) {
    if (stopped) return;
    try {
      objects[std::size_t(i)] = find_or_compile(units[std::size_t(i)]);
      const std::lock_guard lock(mutex);
      ++done;
      if (progress && !stopped) progress(done, total, units[std::size_t(i)].name);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stopped = true;
    }
  });
  const std::lock_guard lock(state_->mutex);
  state_->stats.seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (error) std::rethrow_exception(error);
  return objects;
}

CodeObject Builder::find_or_compile(const Unit& unit) {
  const Sha256Digest key = cache_key(unit, sources_, *compiler_, arch_);
  if (auto found = state_->cache.find(key, arch_)) {
    const std::lock_guard lock(state_->mutex);
    ++state_->stats.from_cache;
    return std::move(*found);
  }
  CodeObject code = compiler_->compile(unit, sources_, arch_);
  std::string reason;
  const bool stored = state_->cache.store(key, arch_, code, reason);
  const std::lock_guard lock(state_->mutex);
  ++state_->stats.compiled;
  if (!stored && !std::exchange(state_->warned, true))
    log_warning("jit", "compiled kernels cannot be kept, the next start compiles them again: {}",
                reason);
  return code;
}

BuildStats Builder::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace isotope::jit
