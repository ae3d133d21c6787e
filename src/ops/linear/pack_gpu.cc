// Packing for GPUs: pieces of the packed matrix are made by all threads in page-locked memory, and
// one is uploaded while the next is made.
#include "ops/linear/pack_gpu.h"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/thread_pool.h"
#include "device/gpu.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t kTileRows = 128, kTileRowBytes = 128, kTileBytes = kTileRows * kTileRowBytes;
constexpr std::int64_t kVector = 16;  ///< bytes
constexpr std::int64_t kGroup =
    8;  ///< packed rows that share a block scale, rows of an interleaved half
/// Bytes of one piece; two of them are page-locked while a matrix is packed.
constexpr std::int64_t kPieceBytes = std::int64_t(8) << 20;
constexpr std::int64_t kTaskBytes = std::int64_t(128) << 10;
/// Below this the threads of a pool cost more than they save.
constexpr std::int64_t kSerialBytes = std::int64_t(1) << 20;

struct Sizes {
  std::int64_t padded_n = 0, padded_k = 0;
  std::int64_t row_bytes = 0;
};

Sizes padded_sizes(std::int64_t rows, std::int64_t k, DType dtype, WeightLayout layout) {
  const auto size = std::int64_t(size_of(dtype));
  const bool tiles = layout == WeightLayout::gpu_tile128;
  Sizes sizes;
  sizes.padded_n = tiles ? round_up(rows, kTileRows) : rows;
  sizes.padded_k = round_up(k, (tiles ? kTileRowBytes : kVector) / size);
  sizes.row_bytes = sizes.padded_k * size;
  return sizes;
}

std::size_t data_bytes(const Sizes& sizes) {
  return checked_mul(std::size_t(sizes.padded_n), std::size_t(sizes.row_bytes),
                     "bytes of a weight");
}

std::size_t scales_count(const Sizes& sizes, std::int64_t k, ScaleLayout layout, bool per_feature) {
  if (layout == ScaleLayout::none) return 0;
  if (layout != ScaleLayout::block_128x128) return std::size_t(sizes.padded_n);
  const std::int64_t rows = per_feature ? sizes.padded_n : ceil_div(sizes.padded_n, kGroup);
  return std::size_t(rows * scale_blocks(k));
}

/// Which feature of the stack is each packed row; -1 is padding.
std::vector<std::int64_t> row_features(const Stack& stack, RowOrder order) {
  std::vector<std::int64_t> features;
  if (order == RowOrder::stacked) {
    for (std::int64_t i = 0; i < stack.n(); ++i) features.push_back(i);
    return features;
  }
  const std::int64_t half = stack.n() / 2;
  if (stack.parts() != 2 || stack.part_end(0) != half || stack.n() != 2 * half)
    fail(ErrorCode::invalid_argument, "interleaved halves need two matrices of one size");
  for (std::int64_t first = 0; first < half; first += kGroup)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t i = first; i < first + kGroup; ++i)
        features.push_back(i < half ? h * half + i : -1);
  return features;
}

/// Whether eight packed rows somewhere do not share their scales.
bool groups_cross_blocks(const Stack& stack, const std::vector<std::int64_t>& features) {
  for (std::size_t first = 0; first < features.size(); first += kGroup) {
    std::int64_t group = -1;
    for (std::size_t r = first; r < std::min(first + kGroup, features.size()); ++r) {
      if (features[r] < 0) continue;
      const std::int64_t other = stack.scale_group(features[r]);
      if (group >= 0 && other != group) return true;
      group = other;
    }
  }
  return false;
}

std::vector<float> packed_scales(const Stack& stack, const std::vector<std::int64_t>& features,
                                 const LinearWeight& weight) {
  std::vector<float> scales;
  if (weight.scale_layout == ScaleLayout::none) return scales;
  const bool blocks = weight.scale_layout == ScaleLayout::block_128x128;
  const std::int64_t columns = blocks ? scale_blocks(weight.k) : 1;
  const std::int64_t step = blocks && !weight.scales_per_feature ? kGroup : 1;
  for (std::int64_t r = 0; r < weight.padded_n; r += step)
    for (std::int64_t column = 0; column < columns; ++column) {
      // Halves that end inside a group are padded at its end: its first row is a feature or all are
      // padding.
      const std::int64_t feature =
          r < std::int64_t(features.size()) ? features[std::size_t(r)] : -1;
      scales.push_back(feature < 0 ? 0.0f : stack.scale(feature, column));
    }
  return scales;
}

bool has_nan_code(const std::byte* codes, std::int64_t count) {
  const __m128i magnitude = _mm_set1_epi8(0x7f);
  __m128i found = _mm_setzero_si128();
  std::int64_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_and_si128(v, magnitude), magnitude));
  }
  bool any = _mm_movemask_epi8(found) != 0;
  for (; i < count; ++i) any |= is_nan(float8_e4m3{std::uint8_t(codes[i])});
  return any;
}

/// Makes any range of the packed matrix.
class Packer {
 public:
  Packer(const Stack& stack, const std::vector<std::int64_t>& features, const LinearWeight& weight)
      : stack_(stack), features_(features), weight_(weight) {
    for (const std::int64_t feature : features)
      rows_.push_back(feature < 0 ? nullptr : stack.row(feature));
  }

  /// 16-KiB tiles [begin, end) in the order in which they lie.
  void tiles(std::int64_t begin, std::int64_t end, std::byte* out) const {
    const std::int64_t along_k = row_bytes() / kTileRowBytes;
    for (std::int64_t tile = begin; tile < end; ++tile, out += kTileBytes)
      for (std::int64_t r = 0; r < kTileRows; ++r) {
        alignas(16) std::array<std::byte, std::size_t(kTileRowBytes)> bytes;
        row_piece(tile / along_k * kTileRows + r, tile % along_k * kTileRowBytes, kTileRowBytes,
                  bytes.data());
        std::byte* to = out + r / kGroup * 1024 + r % kGroup * kVector;
        for (std::int64_t v = 0; v < kTileRowBytes / kVector; ++v)
          std::memcpy(to + v * 128, bytes.data() + v * kVector, std::size_t(kVector));
      }
  }
  void rows(std::int64_t begin, std::int64_t end, std::byte* out) const {
    for (std::int64_t r = begin; r < end; ++r, out += row_bytes())
      row_piece(r, 0, row_bytes(), out);
  }
  std::int64_t row_bytes() const { return weight_.padded_k * std::int64_t(size_of(weight_.dtype)); }

 private:
  /// `bytes` bytes of packed row r from byte `begin` on, converted, with zeros behind k.
  void row_piece(std::int64_t r, std::int64_t begin, std::int64_t bytes, std::byte* out) const {
    const std::byte* row = r < std::int64_t(rows_.size()) ? rows_[std::size_t(r)] : nullptr;
    const DType from = stack_.dtype(), to = weight_.dtype;
    const auto size = std::int64_t(size_of(to));
    const std::int64_t first = begin / size;
    const std::int64_t count =
        row ? std::clamp<std::int64_t>(weight_.k - first, 0, bytes / size) : 0;
    std::memset(out + count * size, 0, std::size_t(bytes - count * size));
    if (count == 0) return;
    if (from == to) {
      const std::byte* source = row + begin;
      std::memcpy(out, source, std::size_t(count * size));
      if (from == DType::f8_e4m3 && has_nan_code(source, count))
        stack_.fail_nan(features_[std::size_t(r)], features_[std::size_t(r)] + 1);
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      float value;
      if (from == DType::f16) {
        float16 half;
        std::memcpy(&half, row + (first + i) * 2, sizeof half);
        value = to_float(half);
      } else {
        std::memcpy(&value, row + (first + i) * 4, sizeof value);
      }
      const bfloat16 rounded = to_bfloat16(value);
      std::memcpy(out + i * 2, &rounded, sizeof rounded);
    }
  }

  const Stack& stack_;
  const std::vector<std::int64_t>& features_;
  const LinearWeight& weight_;
  std::vector<const std::byte*> rows_;
};

/// The packed matrix is a sequence of units: tiles, or rows.
struct Units {
  std::int64_t count = 0, bytes = 0;
  bool tiles = false;
};

Units units_of(const LinearWeight& weight, const Packer& packer) {
  if (weight.layout == WeightLayout::gpu_rows) return {weight.padded_n, packer.row_bytes(), false};
  return {weight.padded_n / kTileRows * (packer.row_bytes() / kTileRowBytes), kTileBytes, true};
}

void pack_units(ThreadPool& pool, const Packer& packer, const Units& units, std::int64_t begin,
                std::int64_t end, std::byte* out) {
  const std::int64_t per_task = std::max<std::int64_t>(1, kTaskBytes / units.bytes);
  pool.parallel_for(ceil_div(end - begin, per_task), [&](std::int64_t task, int) {
    const std::int64_t first = begin + task * per_task, last = std::min(first + per_task, end);
    std::byte* to = out + (first - begin) * units.bytes;
    units.tiles ? packer.tiles(first, last, to) : packer.rows(first, last, to);
  });
}

/// Lets the sources go that lie before packed row `row`.
class Releaser {
 public:
  Releaser(const Stack& stack, RowOrder order) : stack_(stack), order_(order) {}
  void done_until(std::int64_t row) {
    if (order_ != RowOrder::stacked && row < stack_.n()) return;
    while (next_ < stack_.parts() && stack_.part_end(next_) <= row) stack_.release(next_++);
  }

 private:
  const Stack& stack_;
  RowOrder order_;
  std::size_t next_ = 0;
};

void upload(Context& context, const Stack& stack, const Packer& packer, LinearWeight& weight,
            bool pinned) {
  device::Stream& stream = context.stream();
  const Units units = units_of(weight, packer);
  const std::int64_t bytes = units.count * units.bytes;
  ThreadPool pool(bytes < kSerialBytes ? 1 : 0);
  Releaser releaser(stack, weight.row_order);
  const std::int64_t along_k =
      units.tiles ? packer.row_bytes() / kTileRowBytes : 1;  // units that share rows
  const auto rows_before = [&](std::int64_t unit) {
    if (unit == units.count) return weight.padded_n;
    return unit / along_k * (units.tiles ? kTileRows : 1);
  };
  const std::int64_t per_piece = std::max<std::int64_t>(1, kPieceBytes / units.bytes);
  std::array<std::byte*, 2> staging{};
  if (!pinned)
    for (const int piece : {0, 1})
      staging[std::size_t(piece)] =
          context.staging(piece, std::size_t(std::min(per_piece, units.count) * units.bytes));
  int turn = 0;
  for (std::int64_t begin = 0; begin < units.count; begin += per_piece, turn ^= 1) {
    const std::int64_t end = std::min(begin + per_piece, units.count);
    std::byte* target = weight.data.as<std::byte>() + begin * units.bytes;
    std::byte* out = pinned ? target : staging[std::size_t(turn)];
    pack_units(pool, packer, units, begin, end, out);
    if (!pinned) {
      stream.synchronize();  // the piece before this one has left the other buffer
      stream.copy_to_device(target, out, std::size_t((end - begin) * units.bytes));
    }
    releaser.done_until(rows_before(end));
  }
  stream.synchronize();
}

}  // namespace

LinearWeight pack_linear_gpu(Context& context, const Stack& stack, bool allow_f32,
                             const PackOptions& options) {
  auto& gpu = static_cast<device::Gpu&>(context.device());
  const std::vector<std::int64_t> features = row_features(stack, options.row_order);
  LinearWeight weight;
  weight.n = stack.n();
  weight.k = stack.k();
  weight.dtype = packed_dtype(stack.dtype(), allow_f32);
  weight.layout = options.gathered_only ? WeightLayout::gpu_rows : WeightLayout::gpu_tile128;
  weight.row_order = options.row_order;
  weight.scale_layout = stack.packed_scale_layout();
  if (weight.scale_layout != ScaleLayout::none && weight.dtype != DType::f8_e4m3)
    fail(ErrorCode::unsupported, "{} weights with scales have no kernel on a GPU",
         name_of(weight.dtype));
  weight.scales_per_feature =
      weight.scale_layout == ScaleLayout::block_128x128 && groups_cross_blocks(stack, features);
  const Sizes sizes =
      padded_sizes(std::int64_t(features.size()), weight.k, weight.dtype, weight.layout);
  weight.padded_n = sizes.padded_n;
  weight.padded_k = sizes.padded_k;
  const auto allocate = [&](std::size_t bytes, const char* what) {
    return options.pinned ? gpu.allocate_pinned(bytes, what) : gpu.allocate(bytes, what);
  };
  weight.data = allocate(data_bytes(sizes), "a linear weight");
  const std::vector<float> scales = packed_scales(stack, features, weight);
  if (!scales.empty()) {
    weight.scales = allocate(scales.size() * sizeof(float), "the scales of a linear weight");
    if (options.pinned)
      std::memcpy(weight.scales.data(), scales.data(), scales.size() * sizeof(float));
    else
      gpu.stream().copy_to_device(weight.scales.data(), scales.data(),
                                  scales.size() * sizeof(float));
  }
  // On paper the layout is all there is.
  if (gpu.properties().paper) return weight;
  // upload() also waits for the scales.
  upload(context, stack, Packer(stack, features, weight), weight, options.pinned);
  return weight;
}

std::size_t packed_bytes_gpu(std::int64_t n, std::int64_t k, DType dtype, ScaleLayout scale_layout,
                             WeightLayout layout) {
  const Sizes sizes = padded_sizes(n, k, dtype, layout);
  return checked_add(data_bytes(sizes), scales_count(sizes, k, scale_layout, false) * sizeof(float),
                     "bytes of a weight");
}

}  // namespace isotope::ops
