// How much a wave has asked memory for and not yet waited for.
#pragma once

#include <array>
#include <cstddef>

namespace isotope::sim {

/// Loads of global memory in the order in which they were issued; s_wait_loadcnt N ends all but the last N. Here every load is done at
/// once: this only counts what the hardware could have under way.
class LoadsInFlight {
 public:
  /// A wave instruction that loads so many bytes, of all lanes. The counter of the hardware has 6 bits: it waits itself for more.
  void begin(unsigned bytes) {
    wait(kMost - 1);
    bytes_[(first_ + count_++) % kMost] = bytes;
    sum_ += bytes;
  }
  void wait(unsigned at_most) {
    for (; count_ > at_most; --count_, first_ = (first_ + 1) % kMost) sum_ -= bytes_[first_];
  }
  unsigned bytes() const { return sum_; }

 private:
  static constexpr std::size_t kMost = 63;
  std::array<unsigned, kMost> bytes_{};
  std::size_t first_ = 0, count_ = 0;
  unsigned sum_ = 0;
};

}  // namespace isotope::sim
