// Matrix fragments on NVIDIA. A *step* is what one warp multiplies at a time: 16 rows of a weight by 64 bytes of k, two
// 16-byte vectors a lane. Rows and k of the hardware's fragment are assigned so that a lane's vectors are whole vectors
// of a row: the order of k within a step is ours to choose, as long as weights and inputs agree.
//
// Lane l = 4·g + t holds vector t of rows g and g + 8 of the weight, and vector t of input row g (a column of B).
#pragma once

namespace isotope::gpu {

constexpr int kMmaRows = 8;         ///< input rows (columns of B) that one accumulator tile covers
constexpr int kAccumulators = 4;    ///< floats a lane of a 16 × kMmaRows tile
constexpr int kStepBytes = 64;      ///< of k in each weight row

/// Weight row (0…15) and input row (0…kMmaRows-1) of accumulator i of this lane.
ISOTOPE_DEVICE int acc_row(int i) { return lane_index() / 4 + (i / 2) * 8; }
ISOTOPE_DEVICE int acc_column(int i) { return lane_index() % 4 * 2 + i % 2; }

/// Which vector of which weight row register j (0, 1) of a step holds: row 0…15, vector 0…3.
ISOTOPE_DEVICE int step_row(int j) { return lane_index() / 4 + j * 8; }
ISOTOPE_DEVICE int step_vector(int) { return lane_index() % 4; }
/// Which input row this lane brings to a tile, and which vector of the step's k register j belongs to.
ISOTOPE_DEVICE int input_row() { return lane_index() / 4; }

}  // namespace isotope::gpu
