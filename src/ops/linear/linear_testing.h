// For the tests of the linear operations: random checkpoint matrices, their exact value, and the
// error that floating-point arithmetic may make.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops::testing {

constexpr double kF32Unit = 0x1p-24;  ///< largest relative error of rounding to FP32
constexpr double kBf16Unit = 0x1p-8;

inline std::vector<device::Isa> fast_isas() {
  std::vector<device::Isa> isas;
  for (int isa = int(device::Isa::avx2); isa <= int(device::detect_isa()); ++isa)
    isas.push_back(device::Isa(isa));
  return isas;
}

inline std::vector<device::Isa> all_isas() {
  std::vector<device::Isa> isas = fast_isas();
  isas.insert(isas.begin(), device::Isa::scalar);
  return isas;
}

inline void store_as(DType dtype, std::byte* bytes, std::int64_t i, float value) {
  switch (dtype) {
    case DType::f32:
      reinterpret_cast<float*>(bytes)[i] = value;
      return;
    case DType::bf16:
      reinterpret_cast<bfloat16*>(bytes)[i] = to_bfloat16(value);
      return;
    case DType::f8_e4m3:
      reinterpret_cast<float8_e4m3*>(bytes)[i] = to_float8_e4m3(value);
      return;
    case DType::f16: {
      _Float16 half = _Float16(value);
      std::memcpy(bytes + 2 * i, &half, 2);
      return;
    }
    default:
      FAIL() << "not a floating-point dtype";
  }
}

/// A tensor with its memory.
class Owned {
 public:
  Owned() = default;
  Owned(DType dtype, const Shape& shape)
      : bytes_(std::size_t(shape.elements()) * size_of(dtype)),
        view_(dtype, shape, bytes_.data()) {}
  Owned(Owned&&) = default;
  Owned& operator=(Owned&&) = default;

  const TensorView& view() const { return view_; }
  std::byte* bytes() { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  void set(std::int64_t i, float value) { store_as(view_.dtype, bytes_.data(), i, value); }
  float get(std::int64_t i) const { return load_float(view_, i); }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

/// What a checkpoint may hold.
struct Format {
  DType dtype = DType::bf16;
  ScaleLayout scales = ScaleLayout::none;
  DType scale_dtype = DType::f32;
  bool keep_f32 = false;

  std::string name() const {
    std::string text = std::string(name_of(dtype)) + (keep_f32 ? " kept" : "");
    if (scales != ScaleLayout::none)
      text += " scales " + std::string(name_of(scales)) + " " + std::string(name_of(scale_dtype));
    return text;
  }
  DType x_dtype() const { return keep_f32 && dtype == DType::f32 ? DType::f32 : DType::bf16; }
  /// Relative error that packing makes in an element.
  double weight_error() const {
    const bool rounded = dtype == DType::f16 || (dtype == DType::f32 && !keep_f32);
    return rounded ? kBf16Unit : 0.0;
  }
};

inline std::vector<Format> all_formats() {
  std::vector<Format> formats = {{DType::bf16}, {DType::f16}, {DType::f32}};
  formats.push_back({DType::f32, ScaleLayout::none, DType::f32, true});
  formats.push_back({DType::f8_e4m3});
  for (const ScaleLayout layout :
       {ScaleLayout::per_tensor, ScaleLayout::per_row, ScaleLayout::block_128x128})
    for (const DType scale : {DType::f32, DType::bf16, DType::f16})
      formats.push_back({DType::f8_e4m3, layout, scale});
  return formats;
}

/// A random matrix as a checkpoint holds it.
class Matrix {
 public:
  Matrix(const Format& format, std::int64_t n, std::int64_t k, std::uint64_t seed)
      : format_(format), weight_(format.dtype, {n, k}) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    std::uniform_int_distribution<int> code(0, 255);
    const bool fp8 = format.dtype == DType::f8_e4m3;
    for (std::int64_t i = 0; i < n * k; ++i) {
      weight_.set(i, normal(random));
      // Every code, subnormals included, turns up in every second matrix element.
      if (fp8 && i % 2 == 0) {
        int bits = code(random);
        if ((bits & 0x7f) == 0x7f) bits ^= 0x40;
        weight_.bytes()[i] = std::byte(bits);
      }
    }
    if (format.scales == ScaleLayout::none) return;
    Shape shape{1};
    if (format.scales == ScaleLayout::per_row) shape = {n};
    if (format.scales == ScaleLayout::block_128x128) shape = {(n + 127) / 128, (k + 127) / 128};
    scale_ = Owned(format.scale_dtype, shape);
    std::uniform_real_distribution<float> log_scale(-9.0f, -3.0f);
    for (std::int64_t i = 0; i < shape.elements(); ++i) scale_.set(i, std::exp2(log_scale(random)));
  }

  const Format& format() const { return format_; }
  std::int64_t n() const { return weight_.view().shape[0]; }
  std::int64_t k() const { return weight_.view().shape[1]; }
  Owned& weight() { return weight_; }
  Owned& scale() { return scale_; }

  double scale_at(std::int64_t i, std::int64_t j) const {
    switch (format_.scales) {
      case ScaleLayout::none:
        return 1.0;
      case ScaleLayout::per_tensor:
        return scale_.get(0);
      case ScaleLayout::per_row:
        return scale_.get(i);
      case ScaleLayout::block_128x128:
        return scale_.get(i / 128 * ((k() + 127) / 128) + j / 128);
    }
    return 0.0;
  }
  double at(std::int64_t i, std::int64_t j) const {
    return double(weight_.get(i * k() + j)) * scale_at(i, j);
  }
  LinearPart part(std::function<void()> release = {}) const {
    return {{weight_.view(), format_.scales, scale_.view(), {}}, std::move(release)};
  }

 private:
  Format format_;
  Owned weight_, scale_;
};

/// y[m, n] = x · W^T in double precision, and the sums of magnitudes from which error bounds are
/// made.
struct Reference {
  std::int64_t m = 0, n = 0, k = 0;
  std::vector<double> y, magnitude;

  Reference(const Owned& x, const std::vector<const Matrix*>& parts) : m(x.view().shape[0]) {
    const std::int64_t stride = x.view().shape[1];
    k = parts[0]->k();
    for (const Matrix* part : parts) n += part->n();
    y.resize(std::size_t(m * n));
    magnitude.resize(y.size());
    std::vector<double> row, inputs;
    row.resize(std::size_t(k));
    inputs.resize(std::size_t(m * stride));
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = x.get(std::int64_t(i));
    std::int64_t feature = 0;
    for (const Matrix* part : parts)
      for (std::int64_t j = 0; j < part->n(); ++j, ++feature) {
        for (std::int64_t i = 0; i < k; ++i) row[std::size_t(i)] = part->at(j, i);
        for (std::int64_t r = 0; r < m; ++r) {
          double sum = 0, absolute = 0;
          const double* input = inputs.data() + r * stride;
          for (std::int64_t i = 0; i < k; ++i) {
            sum += input[i] * row[std::size_t(i)];
            absolute += std::fabs(input[i] * row[std::size_t(i)]);
          }
          y[std::size_t(r * n + feature)] = sum;
          magnitude[std::size_t(r * n + feature)] = absolute;
        }
      }
  }
};

/// Worst |error| / bound over a matrix, and where. The bound of an element is
///   Σ|x·w| · ((k + 8) · 2^-24 + input_error) + |y| · output_error:
/// each of k products and additions, and a few operations on scales, rounds to FP32 once;
/// `input_error` is what rounding x or w beforehand may contribute, `output_error` what rounding y
/// does.
struct Worst {
  double ratio = 0;
  std::string where;
};

inline Worst worst_error(const TensorView& y, const Reference& reference, double input_error,
                         const std::vector<double>& before = {}) {
  Worst worst;
  const double output_error = y.dtype == DType::bf16 ? kBf16Unit : kF32Unit;
  for (std::int64_t r = 0; r < reference.m; ++r)
    for (std::int64_t j = 0; j < reference.n; ++j) {
      const std::size_t i = std::size_t(r * reference.n + j);
      const double expected = reference.y[i] + (before.empty() ? 0.0 : before[i]);
      const double actual = load_float(y, r * y.row_stride + j);
      const double bound =
          reference.magnitude[i] * (double(reference.k + 8) * kF32Unit + input_error) +
          (std::fabs(expected) + (before.empty() ? 0.0 : std::fabs(before[i]))) * output_error +
          1e-35;
      const double ratio = std::fabs(actual - expected) / bound;
      if (ratio <= worst.ratio) continue;  // NaN goes on
      worst.ratio = std::isnan(ratio) ? INFINITY : ratio;
      worst.where = fmt::format("row {} of {}, feature {} of {}, k {}: {} instead of {} ± {}", r,
                                reference.m, j, reference.n, reference.k, actual, expected, bound);
    }
  return worst;
}

/// x [m, k padded to `stride`] with zeros behind k.
inline Owned random_rows(DType dtype, std::int64_t m, std::int64_t k, std::int64_t stride,
                         std::uint64_t seed) {
  Owned x(dtype, {m, stride});
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t i = 0; i < k; ++i) x.set(r * stride + i, normal(random));
  return x;
}

/// A context with its device.
struct Machine {
  device::CpuDevice device;
  Context context;
  Machine(int threads, device::Isa isa, Path path = Path::fast, bool batch_invariant = true,
          std::size_t workspace = std::size_t(8) << 20)
      : device(threads, isa), context(device, workspace, path, batch_invariant) {}
};

/// Memory for y between guards; rows are `gap` elements apart from each other.
class Guarded {
 public:
  Guarded(DType dtype, std::int64_t m, std::int64_t n, std::int64_t gap = 5)
      : size_(std::int64_t(size_of(dtype))),
        n_(n),
        stride_(n + gap),
        bytes_(std::size_t((m * stride_ + 2 * kGuard) * size_), kSentinel),
        view_(dtype, {m, n}, bytes_.data() + kGuard * size_) {
    view_.row_stride = stride_;
  }
  const TensorView& view() const { return view_; }
  /// Whether everything outside the rows is as it was.
  bool intact() const {
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      const std::int64_t element = std::int64_t(i) / size_ - kGuard;
      const bool inside =
          element >= 0 && element < view_.shape[0] * stride_ && element % stride_ < n_;
      if (!inside && bytes_[i] != kSentinel) return false;
    }
    return true;
  }

 private:
  static constexpr std::int64_t kGuard = 64;
  static constexpr std::byte kSentinel{0xa5};
  std::int64_t size_, n_, stride_;
  std::vector<std::byte> bytes_;
  TensorView view_;
};

/// Whether row `a` of `x` and row `b` of `y` have the same bits.
inline bool same_bits(const TensorView& x, std::int64_t a, const TensorView& y, std::int64_t b) {
  const auto size = std::int64_t(size_of(x.dtype));
  return std::memcmp(static_cast<const std::byte*>(x.data) + a * x.row_stride * size,
                     static_cast<const std::byte*>(y.data) + b * y.row_stride * size,
                     std::size_t(x.shape[1] * size)) == 0;
}

}  // namespace isotope::ops::testing
