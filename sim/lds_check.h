// What hardware does not tell about LDS: reads of what nobody has written, and races between waves
// of a workgroup.
//
// Between two barriers (an epoch) accesses of different waves are not ordered. Of every word of 4
// bytes are known: which of its bytes are written; who wrote it last and in which epoch; who read
// it in the epoch. Waves run one after the other from barrier to barrier, so whichever of two
// conflicting accesses comes second finds the other. Where two waves access different bytes of one
// word, what is not certain is not reported. Accesses between a wave's signal and its wait at a
// split barrier count to the epoch in which they happen to be executed.
#pragma once

#include <vector>

#include "sim/access.h"
#include "sim/findings.h"

namespace isotope::sim {

class LdsCheck {
 public:
  explicit LdsCheck(const Checks& checks) : checks_(checks) {}
  /// A new workgroup, with `bytes` of LDS that nobody has written.
  void begin_group(std::size_t bytes);
  /// Lanes of `mask` access `bytes` each at these offsets, which lie inside. Errors: Fault.
  void access(const Wave& wave, const Instruction& in, const Places& offsets, u32 mask, u32 bytes,
              Use use);

 private:
  struct Access {
    const Wave& wave;
    const Instruction& in;
    u32 me;  ///< epoch and wave, as in a key
    Use use;
  };
  void load(const Access& access, std::size_t word, u32 bytes, int lane);
  void store(const Access& access, std::size_t word, u32 bytes);
  void report_race(const Access& access, std::size_t word, u32 other, const char* did, u32 at);
  void report_unwritten(const Access& access, std::size_t word, u32 bytes, int lane);
  u32 epoch_of(const Workgroup& group);
  void forget();

  const Checks& checks_;
  u32 base_ = 1, last_epoch_ = 0;
  // By word. Keys: which bytes, which wave, flags, epoch.
  std::vector<u8> written_;
  std::vector<u32> write_key_, read_key_;
  std::vector<u32> write_at_, read_at_;  ///< indices of instructions
};

/// Cycles that an access needs beyond those without conflicts. LDS has 64 banks of 4 bytes; it
/// serves 32 words a cycle: 32 lanes of 4 bytes or fewer, 16 of 8 or 8 of 16. Different words in
/// one bank take a cycle each; lanes that read the same word share it. (A workgroup in CU mode
/// would have the 32 banks of one half.)
u32 bank_conflicts(const Places& offsets, u32 mask, u32 bytes);

}  // namespace isotope::sim
