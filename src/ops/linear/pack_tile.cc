#include "ops/linear/pack_tile.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {
namespace {

// Values of k that are gathered at a time: 16 rows of them stay in L1 while they are transposed.
constexpr std::int64_t kChunk = 256;
static_assert(kChunk % kPaddedKMultiple == 0);

/// [16][kChunk] elements in the target's dtype.
struct Chunk {
  alignas(64) std::byte bytes[std::size_t(16 * kChunk * 4)];
};

bfloat16 round_to_bfloat16(DType dtype, const std::byte* source, std::int64_t i) {
  if (dtype == DType::f16) {
    float16 value;
    std::memcpy(&value, source + i * 2, sizeof value);
    return to_bfloat16(to_float(value));
  }
  float value;
  std::memcpy(&value, source + i * 4, sizeof value);
  return to_bfloat16(value);
}

bool has_nan_code(const std::byte* codes, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    if (is_nan(float8_e4m3{std::uint8_t(codes[i])})) return true;
  return false;
}

/// Elements [begin, begin + count) of each row, converted and padded with zeros to `padded`
/// elements.
bool gather(const TileRows& rows, DType source, DType target, std::int64_t begin,
            std::int64_t count, std::int64_t padded, Chunk& chunk) {
  const auto source_size = std::int64_t(size_of(source)), size = std::int64_t(size_of(target));
  for (std::size_t j = 0; j < rows.size(); ++j) {
    std::byte* out = chunk.bytes + std::int64_t(j) * padded * size;
    std::memset(out, 0, std::size_t(padded * size));
    if (!rows[j]) continue;
    if (source == target) {
      std::memcpy(out, rows[j] + begin * size, std::size_t(count * size));
      if (target == DType::f8_e4m3 && has_nan_code(out, count)) return false;
      continue;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const bfloat16 value = round_to_bfloat16(source, rows[j] + begin * source_size, i);
      std::memcpy(out + i * 2, &value, sizeof value);
    }
  }
  return true;
}

__m128i load16(const std::byte* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

void store16(std::byte* to, __m128i value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
}

/// 16 values of k of four FP8 features a, b, c, d: pairs transposed, two pairs of the four features
/// in each 16 bytes.
void transpose_fp8(const std::byte* in, std::int64_t row_bytes, std::byte* out) {
  const __m128i a = load16(in), b = load16(in + row_bytes);
  const __m128i c = load16(in + 2 * row_bytes), d = load16(in + 3 * row_bytes);
  const __m128i ab_low = _mm_unpacklo_epi16(a, b), ab_high = _mm_unpackhi_epi16(a, b);
  const __m128i cd_low = _mm_unpacklo_epi16(c, d), cd_high = _mm_unpackhi_epi16(c, d);
  store16(out, _mm_unpacklo_epi32(ab_low, cd_low));
  store16(out + 64, _mm_unpackhi_epi32(ab_low, cd_low));
  store16(out + 128, _mm_unpacklo_epi32(ab_high, cd_high));
  store16(out + 192, _mm_unpackhi_epi32(ab_high, cd_high));
}

/// Four 4-byte units (BF16 pairs or FP32 values) of four features, transposed.
void transpose_units(const std::byte* in, std::int64_t row_bytes, std::byte* out) {
  const __m128i a = load16(in), b = load16(in + row_bytes);
  const __m128i c = load16(in + 2 * row_bytes), d = load16(in + 3 * row_bytes);
  const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
  const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
  store16(out, _mm_unpacklo_epi64(ab_low, cd_low));
  store16(out + 64, _mm_unpackhi_epi64(ab_low, cd_low));
  store16(out + 128, _mm_unpacklo_epi64(ab_high, cd_high));
  store16(out + 192, _mm_unpackhi_epi64(ab_high, cd_high));
}

}  // namespace

bool pack_tile(const TileRows& rows, std::int64_t k, DType source, DType target, std::byte* out) {
  ISOTOPE_ASSERT(source == target || target == DType::bf16);
  const auto size = std::int64_t(size_of(target));
  const std::int64_t padded_k = round_up(k, kPaddedKMultiple);
  Chunk chunk;
  for (std::int64_t begin = 0; begin < padded_k; begin += kChunk) {
    const std::int64_t padded = std::min(kChunk, padded_k - begin);
    if (!gather(rows, source, target, begin, std::min(padded, k - begin), padded, chunk))
      return false;
    const std::int64_t row_bytes = padded * size;
    // 16 bytes of each of 16 features become 4 × 64 bytes, in which quarter q belongs to features
    // 4q to 4q + 3.
    for (std::int64_t offset = 0; offset < row_bytes; offset += 16) {
      for (std::int64_t quarter = 0; quarter < 4; ++quarter) {
        const std::byte* in = chunk.bytes + 4 * quarter * row_bytes + offset;
        std::byte* to = out + (begin * size + offset) * kTileFeatures + quarter * 16;
        target == DType::f8_e4m3 ? transpose_fp8(in, row_bytes, to)
                                 : transpose_units(in, row_bytes, to);
      }
    }
  }
  return true;
}

}  // namespace isotope::ops
