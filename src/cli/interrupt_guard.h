#pragma once

namespace isotope::cli {

/// Ctrl-C ends what is under way instead of the program while one of these lives.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// Whether Ctrl-C was pressed since the last call.
  static bool interrupted();
};

}  // namespace isotope::cli
