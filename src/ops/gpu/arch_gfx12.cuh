// Matrix fragments on RDNA4. A *step* is what one wave multiplies at a time: 16 rows of a weight by 64 bytes of k, two
// 16-byte vectors a lane. The order of k within a step is ours to choose, as long as weights and inputs agree.
//
// Lane l = 16·h + r holds vectors h and h + 2 of weight row r, and of input row r (a column of B).
#pragma once

namespace isotope::gpu {

constexpr int kMmaRows = 16;        ///< input rows (columns of B) that one accumulator tile covers
constexpr int kAccumulators = 8;    ///< floats a lane of a 16 × kMmaRows tile
constexpr int kStepBytes = 64;      ///< of k in each weight row

/// Weight row (0…15) and input row (0…kMmaRows-1) of accumulator i of this lane.
ISOTOPE_DEVICE int acc_row(int i) { return lane_index() / 16 * 8 + i; }
ISOTOPE_DEVICE int acc_column(int) { return lane_index() % 16; }

/// Which vector of which weight row register j (0, 1) of a step holds: row 0…15, vector 0…3.
ISOTOPE_DEVICE int step_row(int) { return lane_index() % 16; }
ISOTOPE_DEVICE int step_vector(int j) { return lane_index() / 16 + j * 2; }
/// Which input row this lane brings to a tile, and which vector of the step's k register j belongs to.
ISOTOPE_DEVICE int input_row() { return lane_index() % 16; }

}  // namespace isotope::gpu
