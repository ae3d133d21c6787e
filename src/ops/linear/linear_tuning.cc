#include "ops/linear/linear_tuning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "base/checked.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_decode_gpu.h"
#include "ops/linear/linear_prefill_gpu.h"
#include "ops/linear/packed_rows.h"
#include "ops/tuning/noise.h"

namespace isotope::ops {
namespace {

constexpr float kEps = 1e-6f;
/// Relative errors of the inputs' formats: BF16's, and E4M3's where prefill multiplies in FP8.
constexpr double kBf16Error = 0x1p-8, kE4m3Error = 0x1p-4;

class LinearCase final : public TuningCase {
 public:
  LinearCase(Context& context, const LinearUse& use, bool decode, std::int64_t rows)
      : context_(context), use_(use), decode_(decode), rows_(rows) {}

  std::string name() const override {
    return fmt::format("{}, {} rows {}", use_.name, rows_, decode_ ? "decode" : "prefill");
  }
  TuningSpace space() const override {
    return decode_ ? gpu::linear_decode_tuning(context_, call_of(weight()), rows_)
                   : gpu::linear_prefill_tuning(context_, weight(), rows_);
  }
  double bytes() const override { return double(weight().bytes()); }
  double flops() const override {
    return 2.0 * double(rows_) * double(weight().n) * double(weight().k);
  }

  void prepare() override {
    const std::int64_t k = weight().k;
    x_host_ = random_values(rows_ * k, 1.0f, 1);
    g_host_ = random_values(k, 0.2f, 2);
    for (float& g : g_host_) g += 1.0f;
    if (use_.epilogue == gpu::Epilogue::add) y_host_ = random_values(rows_ * outputs(), 1.0f, 3);
    if (x_dtype() == DType::bf16) round_to_bf16(x_host_);
    x_ = upload(context_.device(), x_host_, x_dtype());
    g_ = upload(context_.device(), g_host_, DType::f32);
    y_ = context_.device().allocate(std::size_t(rows_ * outputs()) * size_of(use_.y_dtype),
                                    "outputs to tune with");
    expect();
  }
  void release() override {
    for (device::Buffer* buffer : {&x_, &g_, &y_}) *buffer = {};
    for (std::vector<float>* values : {&x_host_, &g_host_, &y_host_}) *values = {};
  }

  void call() override { queue(weight()); }
  std::int64_t call_often() override {
    const auto calls = calls_beyond_caches(context_, bytes());
    for (std::int64_t i = 0; i < calls; ++i)
      queue(*use_.weights[std::size_t(i) % use_.weights.size()]);
    return calls;
  }

  std::vector<std::byte> output() override {
    if (use_.epilogue == gpu::Epilogue::add)
      context_.stream().copy_to_device(y_.data(), y_host_.data(), y_.size());
    else
      context_.stream().fill(y_.data(), 0xff, y_.size());
    call();
    std::vector<std::byte> bytes(y_.size());
    context_.stream().copy_to_host(bytes.data(), y_.data(), bytes.size());
    context_.stream().synchronize();
    return bytes;
  }

  double error(const std::vector<std::byte>& output) const override;
  double difference(const std::vector<std::byte>& a,
                    const std::vector<std::byte>& b) const override {
    // BF16 may round to the neighbour; sums in FP32 differ in their last places.
    return relative_difference(a, b, use_.y_dtype, use_.y_dtype == DType::bf16 ? 0x1p-7 : 0x1p-13);
  }

 private:
  const LinearWeight& weight() const { return *use_.weights.front(); }
  bool swiglu() const { return use_.epilogue == gpu::Epilogue::swiglu; }
  std::int64_t outputs() const { return swiglu() ? weight().n / 2 : weight().n; }
  DType x_dtype() const {
    return use_.norm || weight().dtype == DType::f32 ? DType::f32 : DType::bf16;
  }
  gpu::LinearCall call_of(const LinearWeight& weight) const {
    gpu::LinearCall call;
    call.x = TensorView(x_dtype(), {rows_, weight.k}, x_.data());
    call.norm = use_.norm ? g_.as<const float>() : nullptr;
    call.norm_eps = kEps;
    call.weight = &weight;
    call.epilogue = use_.epilogue;
    call.y = TensorView(use_.y_dtype, {rows_, outputs()}, y_.data());
    return call;
  }
  void queue(const LinearWeight& weight) {
    if (decode_)
      gpu::linear_decode(context_, call_of(weight), 0, rows_);
    else
      gpu::linear_prefill(context_, call_of(weight), 0, rows_);
  }
  std::vector<double> inputs(std::int64_t row) const;
  /// What a sample of outputs should be.
  void expect();
  double input_error() const {
    const bool e4m3 =
        !decode_ && weight().dtype == DType::f8_e4m3 && weight().k >= gpu::kPrefillOneTermK;
    return e4m3 ? kE4m3Error : kBf16Error;
  }

  Context& context_;
  LinearUse use_;
  bool decode_;
  std::int64_t rows_;
  std::vector<float> x_host_, g_host_, y_host_;
  struct Expected {
    std::int64_t at;
    double value, bound;
  };
  std::vector<Expected> expected_;
  device::Buffer x_, g_, y_;
};

/// What the product multiplies: row `row` of x, normed.
std::vector<double> LinearCase::inputs(std::int64_t row) const {
  const std::int64_t k = weight().k;
  const float* x = x_host_.data() + row * k;
  std::vector<double> values(x, x + k);
  if (!use_.norm) return values;
  double squares = 0;
  for (const double value : values) squares += value * value;
  const double factor = 1.0 / std::sqrt(squares / double(k) + double(kEps));
  for (std::int64_t i = 0; i < k; ++i) values[std::size_t(i)] *= factor * g_host_[std::size_t(i)];
  return values;
}

struct Sum {
  double value = 0, error = 0;  ///< Σ x·w, and how far off rounded inputs may put it
};

/// `input_error`: of an input, relative. Errors of independent signs add up as their squares do.
Sum multiply(const std::vector<double>& x, const std::vector<double>& w, double input_error) {
  Sum sum;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double product = x[i] * w[i];
    sum.value += product;
    sum.error += product * product;
  }
  sum.error = input_error * std::sqrt(sum.error);
  return sum;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double silu_slope(double x) { return sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))); }

/// y = silu(gate)·up.
Sum swiglu_of(const Sum& gate, const Sum& up) {
  const double silu = gate.value * sigmoid(gate.value);
  double slope = 0;  // the steepest nearby
  for (const double x : {gate.value - 3 * gate.error, gate.value, gate.value + 3 * gate.error})
    slope = std::max(slope, std::fabs(silu_slope(x)));
  const double silu_error = slope * gate.error;
  return {silu * up.value,
          std::hypot(silu_error * up.value, silu * up.error) + silu_error * up.error};
}

void LinearCase::expect() {
  expected_.clear();
  const PackedRows packed(context_.device(), weight());
  const std::vector<std::int64_t> rows = spread_out(rows_, 4);
  std::vector<std::vector<double>> x;
  for (const std::int64_t row : rows) x.push_back(inputs(row));
  const double rounding = use_.y_dtype == DType::bf16 ? 0x1p-8 : 0x1p-20;
  for (const std::int64_t feature : packed.sampled_features()) {
    const std::vector<double> w = packed.values(packed.row_of(feature, 0));
    const std::vector<double> up =
        swiglu() ? packed.values(packed.row_of(feature, 1)) : std::vector<double>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Sum sum = multiply(x[i], w, input_error());
      if (swiglu()) sum = swiglu_of(sum, multiply(x[i], up, input_error()));
      const std::int64_t at = rows[i] * outputs() + feature;
      if (use_.epilogue == gpu::Epilogue::add) sum.value += double(y_host_[std::size_t(at)]);
      expected_.push_back({at, sum.value, sum.error + rounding * std::fabs(sum.value) + 1e-30});
    }
  }
}

double LinearCase::error(const std::vector<std::byte>& output) const {
  const TensorView y(use_.y_dtype, {rows_ * outputs()}, const_cast<std::byte*>(output.data()));
  double squares = 0;
  for (const Expected& expected : expected_) {
    const double off = (double(load_float(y, expected.at)) - expected.value) / expected.bound;
    if (!(std::fabs(off) < 8)) return std::numeric_limits<double>::infinity();
    squares += off * off;
  }
  return std::sqrt(squares / double(expected_.size()));
}

}  // namespace

TuningCases linear_tuning_cases(Context& context, const LinearUse& use, const TuningRows& rows) {
  TuningCases cases;
  const auto add = [&](bool decode, std::int64_t count) {
    auto made = std::make_unique<LinearCase>(context, use, decode, count);
    if (made->space().candidates.size() > 1) cases.push_back(std::move(made));
  };
  for (const std::int64_t count : rows.decode) add(true, count);
  if (use.prefill)
    for (const std::int64_t count : rows.prefill) add(false, count);
  return cases;
}

}  // namespace isotope::ops
