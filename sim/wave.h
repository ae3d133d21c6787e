// A wave of 32 lanes, and the workgroup whose memory and barrier it shares.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/instruction.h"
#include "sim/loads_in_flight.h"

namespace isotope::sim {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

/// Ends a launch: what the machine code did wrong, or what the simulator does not know.
class Fault : public std::runtime_error {
 public:
  enum Kind : u8 { other, address };  ///< address: memory that is not there or not to be used so
  explicit Fault(const std::string& what, Kind kind = other) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

constexpr int kLanes = 32;
using Lanes = std::array<u32, kLanes>;

// Scalar registers as they are encoded.
enum Scalar : u16 {
  kVccLo = 106, kVccHi = 107, kTtmp = 108, kNull = 124, kM0 = 125, kExecLo = 126, kExecHi = 127, kScalars = 128
};

// Where flat addresses mean LDS and the lane's scratch memory: no process has memory there.
constexpr u64 kLdsAperture = u64(1) << 48, kScratchAperture = u64(2) << 48;

/// The number of the hardware register that FloatMode is a part of.
constexpr u32 kModeRegister = 1;

/// Of the kernel descriptor: how floats are rounded and whether subnormals are kept.
struct FloatMode {
  u8 round_32 = 0, round_16_64 = 0;          ///< 0 nearest even, 1 up, 2 down, 3 to zero
  bool denormals_32 = true, denormals_16_64 = true;
  bool ieee = false, dx10_clamp = true;
  bool clamp_overflow = false;               ///< FP16_OVFL: finite f16, FP8 and BF8 results do not overflow
};

class LdsCheck;
class Memory;
struct Counters;

/// Where the lanes' work-items lie, what they share, and what is to be checked.
struct Workgroup {
  std::array<u32, 3> id{};
  std::vector<u8> lds;
  int waves = 0, waves_at_barrier = 0, waves_done = 0;
  const Instruction* barrier = nullptr;      ///< where the first of those at the barrier has signalled
  u32 barriers_passed = 0;                   ///< accesses of the same count are not ordered between waves
  Memory* memory = nullptr;
  Counters* counters = nullptr;
  LdsCheck* lds_check = nullptr;             ///< null: LDS's contents are not checked
};

/// Lets the waves at the barrier on if all that have not ended have signalled. After a signal, and after the end of a wave.
void open_barrier_if_complete(Workgroup& group);

struct Wave {
  enum State : u8 { running, at_barrier, done };

  alignas(64) std::array<u32, kScalars> sgpr{};
  std::vector<Lanes> vgpr;
  bool scc = false;
  State state = running;
  bool signalled = false;                    ///< has signalled the barrier that comes next
  u32 barrier_seen = 0;                      ///< Workgroup::barriers_passed when it signalled
  u32 now = 0, next = 0;                     ///< indices into program->instructions
  int id = 0;                                ///< in the workgroup
  FloatMode mode;
  const Program* program = nullptr;
  Workgroup* group = nullptr;
  std::vector<u8> scratch;                   ///< [lane][bytes of a lane]
  u32 scratch_bytes = 0;                     ///< of a lane
  LoadsInFlight loads;

  u32 exec() const { return sgpr[kExecLo]; }
  u32& vcc() { return sgpr[kVccLo]; }
};

}  // namespace isotope::sim
