// How fast all threads together read memory: the ceiling of decoding on a CPU.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "base/error.h"
#include "ops/bandwidth/bandwidth.h"
#include "ops/intrinsics.h"

namespace isotope::ops {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Keeps results alive, so that no read is optimised away.
std::atomic<std::uint64_t> sink{0};

/// Anonymous memory in huge pages, touched.
class Pages {
 public:
  Pages(std::size_t bytes, ThreadPool& pool) : bytes_(bytes) {
    data_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) fail(ErrorCode::out_of_memory, "cannot allocate {} bytes", bytes);
    ::madvise(data_, bytes, MADV_HUGEPAGE);
    constexpr std::int64_t kParts = 64;
    pool.parallel_for(kParts, [&](std::int64_t part, int) {
      const std::size_t size = bytes_ / kParts;
      std::fill_n(static_cast<std::uint8_t*>(data_) + std::size_t(part) * size, size,
                  std::uint8_t(part + 1));
    });
  }
  ~Pages() { ::munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  const std::byte* data() const { return static_cast<const std::byte*>(data_); }

 private:
  void* data_;
  std::size_t bytes_;
};

/// Reads `bytes` as `kStreams` runs side by side, 64 bytes of each in turn.
template <int kStreams>
__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::byte* data,
                                                             std::size_t bytes) {
  const std::size_t length = bytes / kStreams;
  __m512i sum[kStreams] = {};
  for (std::size_t i = 0; i < length; i += 64)
    for (int s = 0; s < kStreams; ++s)
      sum[s] = _mm512_xor_si512(sum[s], _mm512_load_si512(data + std::size_t(s) * length + i));
  __m512i all = sum[0];
  for (int s = 1; s < kStreams; ++s) all = _mm512_xor_si512(all, sum[s]);
  return std::uint64_t(_mm512_reduce_add_epi64(all));
}

template <int kStreams>
std::uint64_t read_sse2(const std::byte* data, std::size_t bytes) {
  const std::size_t length = bytes / kStreams;
  __m128i sum[4] = {};
  for (std::size_t i = 0; i < length; i += 64)
    for (int s = 0; s < kStreams; ++s) {
      const auto* line = reinterpret_cast<const __m128i*>(data + std::size_t(s) * length + i);
      for (int j = 0; j < 4; ++j) sum[j] = _mm_xor_si128(sum[j], _mm_load_si128(line + j));
    }
  const __m128i all = _mm_xor_si128(_mm_xor_si128(sum[0], sum[1]), _mm_xor_si128(sum[2], sum[3]));
  return std::uint64_t(_mm_cvtsi128_si64(all));
}

using Reader = std::uint64_t (*)(const std::byte*, std::size_t);

/// Best rate over one pass, window by window: a short window may fall between other load on the
/// machine.
double read_rate(ThreadPool& pool, const Pages& pages, std::size_t bytes, Reader reader) {
  // Pieces well above what a hardware prefetcher needs to get going, well below a thread's share.
  constexpr std::size_t kPiece = std::size_t(256) << 10;
  const std::size_t pieces = std::max<std::size_t>(64, std::size_t(pool.size()) * 16);
  double best = 0;
  for (std::size_t begin = 0; begin + pieces * kPiece <= bytes; begin += pieces * kPiece) {
    const auto body = [&](std::int64_t piece, int) {
      const std::byte* data = pages.data() + begin + std::size_t(piece) * kPiece;
      sink.fetch_add(reader(data, kPiece), std::memory_order_relaxed);
    };
    const auto start = Clock::now();
    pool.parallel_for(std::int64_t(pieces), std::cref(body));
    best = std::max(best, double(pieces * kPiece) / seconds_since(start));
  }
  return best;
}

}  // namespace

double cpu_read_bandwidth(ThreadPool& pool, std::size_t bytes, int repeats) {
  const Pages pages(bytes, pool);
  double best = 0;
  const bool wide = __builtin_cpu_supports("avx512f");
  const Reader readers[] = {wide ? read_avx512<1> : read_sse2<1>,
                            wide ? read_avx512<4> : read_sse2<4>,
                            wide ? read_avx512<8> : read_sse2<8>};
  for (int repeat = 0; repeat < repeats; ++repeat)
    for (const Reader reader : readers)
      best = std::max(best, read_rate(pool, pages, bytes, reader));
  return best;
}

}  // namespace isotope::ops
