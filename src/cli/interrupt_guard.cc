#include "cli/interrupt_guard.h"

#include <atomic>
#include <csignal>

namespace isotope::cli {
namespace {

std::atomic<bool> interrupt_pending{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void handle_interrupt(int) { interrupt_pending.store(true); }

}  // namespace

InterruptGuard::InterruptGuard() {
  struct sigaction action {};
  action.sa_handler = handle_interrupt;  // without SA_RESTART: a blocked read returns
  ::sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() { std::signal(SIGINT, SIG_DFL); }

bool InterruptGuard::interrupted() { return interrupt_pending.exchange(false); }

}  // namespace isotope::cli
