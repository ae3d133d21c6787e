// What counted work would take at best on the card that is simulated, a Radeon RX 9070 XT. From its
// data sheet, not measured.
#pragma once

namespace isotope::ops {

inline constexpr double kSimulatedBandwidth = 640e9;  ///< bytes/s
/// Instructions of waves per second: one a clock for each of two SIMDs of 64 compute units, 2.97
/// GHz.
inline constexpr double kSimulatedIssueRate = 128 * 2.97e9;

}  // namespace isotope::ops
