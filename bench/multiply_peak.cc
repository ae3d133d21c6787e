#include "bench/multiply_peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "base/error.h"
#include "ops/intrinsics.h"

namespace isotope::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Keeps results alive, so that no read is optimised away.
std::atomic<std::uint64_t> sink{0};

// Independent sums: more than the latency of any multiply-add times its throughput.
constexpr int kSums = 16;
constexpr std::int64_t kRounds = 8'000;

__attribute__((target("avx512f,avx512bf16"))) double multiply_bf16(float seed) {
  __m512 sum[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_set1_ps(seed * float(i));
  const __m512bh a = __m512bh(_mm512_set1_epi32(0x3f803f80));
  for (std::int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
      __asm__ volatile("" : "+v"(sum[i]));
    }
  __m512 all = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kSums; ++i) all = _mm512_add_ps(all, sum[i]);
  sink.fetch_add(std::uint64_t(_mm512_reduce_add_ps(all)), std::memory_order_relaxed);
  return double(kRounds) * kSums * 64;
}

__attribute__((target("avx512f"))) double multiply_avx512(float seed) {
  __m512 sum[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_set1_ps(seed * float(i));
  const __m512 a = _mm512_set1_ps(seed);
  for (std::int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm512_fmadd_ps(a, a, sum[i]);
      __asm__ volatile("" : "+v"(sum[i]));
    }
  __m512 all = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kSums; ++i) all = _mm512_add_ps(all, sum[i]);
  sink.fetch_add(std::uint64_t(_mm512_reduce_add_ps(all)), std::memory_order_relaxed);
  return double(kRounds) * kSums * 32;
}

__attribute__((target("avx2,fma"))) double multiply_avx2(float seed) {
  constexpr int kNarrowSums = 12;
  __m256 sum[kNarrowSums];
#pragma GCC unroll 16
  for (int i = 0; i < kNarrowSums; ++i) sum[i] = _mm256_set1_ps(seed * float(i));
  const __m256 a = _mm256_set1_ps(seed);
  for (std::int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 16
    for (int i = 0; i < kNarrowSums; ++i) {
      sum[i] = _mm256_fmadd_ps(a, a, sum[i]);
      __asm__ volatile("" : "+x"(sum[i]));
    }
  __m256 all = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kNarrowSums; ++i) all = _mm256_add_ps(all, sum[i]);
  sink.fetch_add(std::uint64_t(_mm256_cvtss_f32(all)), std::memory_order_relaxed);
  return double(kRounds) * kNarrowSums * 16;
}

__attribute__((target("amx-tile,amx-bf16"))) double multiply_amx(float) {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
  for (std::int64_t round = 0; round < kRounds / 4; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return double(kRounds / 4) * 4 * (16 * 16 * 32 * 2);
}

}  // namespace

double multiply_peak(ThreadPool& pool, bool amx) {
  const auto multiply = amx                                    ? multiply_amx
                        : __builtin_cpu_supports("avx512bf16") ? multiply_bf16
                        : __builtin_cpu_supports("avx512f")    ? multiply_avx512
                                                               : multiply_avx2;
  double best = 0;
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::atomic<double> operations{0};
    const std::int64_t tasks = std::int64_t(pool.size()) * 8;
    const auto body = [&](std::int64_t, int) { operations.fetch_add(multiply(1e-9f)); };
    const auto start = Clock::now();
    pool.parallel_for(tasks, std::cref(body));
    best = std::max(best, operations.load() / seconds_since(start));
  }
  return best;
}

}  // namespace isotope::bench
