#pragma once

namespace isotope::gpu {

constexpr int kReadThreads = 256;
constexpr int kReadVectors = 8;  ///< loads of 16 bytes that a thread has in flight

struct ReadParams {
  const void* data;
  unsigned* sums;     ///< one for each thread
  long long vectors;  ///< of 16 bytes
};

}  // namespace isotope::gpu
