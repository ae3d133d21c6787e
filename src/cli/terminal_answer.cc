#include "cli/terminal_answer.h"

#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "cli/interrupt_guard.h"

namespace isotope::cli {
TerminalAnswer stream_answer(server::Generation& generation, bool print) {
  // Shared with the callback, which may still be running when the answer ends.
  struct Wake {
    std::mutex mutex;
    std::condition_variable condition;
    bool ready = false;
  };
  const auto wake = std::make_shared<Wake>();
  generation.on_ready([wake] {
    const std::lock_guard lock(wake->mutex);
    wake->ready = true;
    wake->condition.notify_one();
  });
  TerminalAnswer answer;
  while (!generation.finished()) {
    {
      // A signal handler cannot notify a condition variable, so Ctrl-C is looked for now and then.
      std::unique_lock lock(wake->mutex);
      wake->condition.wait_for(lock, std::chrono::milliseconds(50), [&] { return wake->ready; });
      wake->ready = false;
    }
    if (InterruptGuard::interrupted()) {
      answer.interrupted = true;
      generation.cancel();
    }
    const server::Piece piece = generation.take();
    answer.text += piece.text;
    if (print && !piece.text.empty()) {
      fmt::print("{}", piece.text);
      std::fflush(stdout);
    }
  }
  generation.on_ready(nullptr);
  return answer;
}

}  // namespace isotope::cli
