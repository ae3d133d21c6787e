#include "ops/rope_store/rope_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/json.h"
#include "ops/testing/noise.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops {
namespace {

using device::CpuDevice;
using device::Isa;

struct Model {
  std::int64_t heads = 4, kv_heads = 2, dim = 16;
  bool norm = false;
  float attention_factor = 1.0f;
  float beta = 0.0f;
  std::int64_t original = 1;
  std::vector<float> frequencies;  ///< empty: theta 10000
  float eps = 1e-6f;

  std::int64_t width() const { return (heads + 2 * kv_heads) * dim; }
  float frequency(std::int64_t i) const {
    if (!frequencies.empty()) return frequencies[std::size_t(i)];
    return float(std::pow(10000.0, -2.0 * double(i) / double(dim)));
  }
  static float weight(std::uint32_t stream, std::int64_t d) {
    return 1.0f + 0.5f * testing::noise(stream, std::uint32_t(d));
  }
};

/// The inputs and outputs of one call over scattered slots; every buffer has a guard behind it.
struct Call {
  static constexpr std::uint8_t kUntouched = 0xa5;
  Model model;
  DType dtype = DType::f32, kv_dtype = DType::bf16;
  std::vector<std::int32_t> positions;
  std::vector<std::int64_t> slots;
  std::int64_t num_slots = 0;
  std::vector<float> qkv, q_norm, k_norm, frequencies;
  std::vector<bfloat16> qkv16;
  std::vector<std::uint8_t> q_out, k, v;
  std::vector<float> k_scale, v_scale;

  Call(Model model_, DType dtype_, DType kv_dtype_, std::vector<std::int32_t> positions_)
      : model(std::move(model_)),
        dtype(dtype_),
        kv_dtype(kv_dtype_),
        positions(std::move(positions_)) {
    const std::int64_t rows = std::int64_t(positions.size());
    num_slots = 2 * rows + 1;
    for (std::int64_t r = 0; r < rows; ++r) slots.push_back(r % 4 == 3 ? -1 : 2 * (rows - r) - 1);
    for (std::int64_t i = 0; i < rows * model.width(); ++i) {
      qkv.push_back(2 * testing::noise(5, std::uint32_t(i)));
      qkv16.push_back(to_bfloat16(qkv.back()));
    }
    for (std::int64_t d = 0; d < model.dim; ++d) {
      q_norm.push_back(Model::weight(6, d));
      k_norm.push_back(Model::weight(7, d));
    }
    for (std::int64_t i = 0; i < model.dim / 2; ++i) frequencies.push_back(model.frequency(i));
    const std::size_t vectors = std::size_t(num_slots * model.kv_heads),
                      size = vectors * std::size_t(model.dim);
    q_out.assign(std::size_t(rows * model.heads * model.dim) * size_of(dtype) + 64, kUntouched);
    k.assign(size * size_of(kv_dtype) + 64, kUntouched);
    v = k;
    k_scale.assign(vectors, -5.0f);
    v_scale = k_scale;
  }

  void run(Isa isa, int threads) {
    const std::int64_t rows = std::int64_t(positions.size());
    CpuDevice device(threads, isa);
    Context context(device, 0);
    Batch batch;
    batch.rows.total = rows;
    batch.positions = TensorView(DType::i32, Shape{rows}, positions.data());
    batch.slots = TensorView(DType::i64, Shape{rows}, slots.data());
    RopeSpec rope{.num_heads = model.heads, .num_kv_heads = model.kv_heads, .head_dim = model.dim};
    rope.inverse_frequencies = TensorView(DType::f32, Shape{model.dim / 2}, frequencies.data());
    rope.attention_factor = model.attention_factor;
    rope.query_scale_beta = model.beta;
    rope.query_scale_original_max_position = model.original;
    const Shape cache{num_slots, model.kv_heads, model.dim}, scales{num_slots, model.kv_heads};
    KvLayer kv{
        TensorView(kv_dtype, cache, k.data()), TensorView(kv_dtype, cache, v.data()), {}, {}};
    if (kv_dtype == DType::f8_e4m3) {
      kv.k_scale = TensorView(DType::f32, scales, k_scale.data());
      kv.v_scale = TensorView(DType::f32, scales, v_scale.data());
    }
    const TensorView weights[2] = {TensorView(DType::f32, Shape{model.dim}, q_norm.data()),
                                   TensorView(DType::f32, Shape{model.dim}, k_norm.data())};
    const void* input = dtype == DType::f32 ? (const void*)qkv.data() : (const void*)qkv16.data();
    rope_store(context, TensorView(dtype, Shape{rows, model.width()}, input),
               model.norm ? weights[0] : TensorView(), model.norm ? weights[1] : TensorView(),
               model.eps, rope, batch,
               TensorView(dtype, Shape{rows, model.heads, model.dim}, q_out.data()), kv);
  }

  float q_value(std::int64_t row, std::int64_t head, std::int64_t d) const {
    return load_float(TensorView(dtype, Shape{1 << 30}, q_out.data()),
                      (row * model.heads + head) * model.dim + d);
  }
  float cached(const std::vector<std::uint8_t>& cache, const std::vector<float>& scale,
               std::int64_t slot, std::int64_t head, std::int64_t d) const {
    const std::int64_t vector = slot * model.kv_heads + head;
    const float raw =
        load_float(TensorView(kv_dtype, Shape{1 << 30}, cache.data()), vector * model.dim + d);
    return kv_dtype == DType::bf16 ? raw : raw * scale[std::size_t(vector)];
  }

  /// Head `head` of the row (q, then k, then v) by definition, in extended precision.
  std::vector<double> want(std::int64_t row, std::int64_t head) const {
    std::vector<double> x, y;
    for (std::int64_t d = 0; d < model.dim; ++d)
      x.push_back(double(qkv[std::size_t(row * model.width() + head * model.dim + d)]));
    if (head >= model.heads + model.kv_heads) return x;
    if (model.norm) {
      long double squares = 0;
      for (double value : x) squares += value * value;
      const long double root = std::sqrt(squares / (long double)model.dim + (long double)model.eps);
      for (std::int64_t d = 0; d < model.dim; ++d)
        x[std::size_t(d)] =
            double(x[std::size_t(d)] / root * Model::weight(head < model.heads ? 6 : 7, d));
    }
    const std::int32_t p = positions[std::size_t(row)];
    const std::int64_t half = model.dim / 2;
    y.resize(x.size());
    const double scale =
        head < model.heads
            ? 1 + double(model.beta) * std::log(1 + std::floor(double(p) / double(model.original)))
            : 1;
    for (std::int64_t i = 0; i < half; ++i) {
      const long double angle = (long double)p * (long double)frequencies[std::size_t(i)];
      const double c = double(std::cos(angle)) * double(model.attention_factor) * scale;
      const double s = double(std::sin(angle)) * double(model.attention_factor) * scale;
      const double a = x[std::size_t(i)], b = x[std::size_t(i + half)];
      y[std::size_t(i)] = a * c - b * s;
      y[std::size_t(i + half)] = b * c + a * s;
    }
    return y;
  }
};

/// FP32 error of a rotated element whose pair has magnitude `pair`: cos and sin are within 2^-23,
/// which the factor and three roundings make 2^-21; the norm's sum adds D/8 + 8 roundings. BF16 has
/// 8 significant bits; E4M3 has 4, or steps of 2^-9 of its scale.
double tolerance(const Call& call, double pair, DType dtype, double want, double scale) {
  const double norm = call.model.norm ? (double(call.model.dim) / 8 + 8) * std::ldexp(1.0, -24) : 0;
  double limit = pair * (std::ldexp(1.0, -21) + norm);
  if (dtype == DType::bf16) limit += std::ldexp(std::fabs(want), -8);
  if (dtype == DType::f8_e4m3)
    limit += std::ldexp(std::fabs(want), -4) * 1.0001 + scale * std::ldexp(1.0, -10);
  return limit;
}

void expect_definition(const Call& call, const char* what) {
  const Model& model = call.model;
  const std::int64_t half = model.dim / 2;
  for (std::int64_t row = 0; row < std::int64_t(call.positions.size()); ++row) {
    const std::int64_t slot = call.slots[std::size_t(row)];
    for (std::int64_t head = 0; head < model.heads + 2 * model.kv_heads; ++head) {
      const std::vector<double> want = call.want(row, head);
      const bool is_q = head < model.heads, is_k = !is_q && head < model.heads + model.kv_heads;
      if (!is_q && slot < 0) continue;
      const std::int64_t kv_head = is_q ? 0 : (head - model.heads) % model.kv_heads;
      double largest = 0;
      for (double value : want) largest = std::max(largest, std::fabs(value));
      for (std::int64_t d = 0; d < model.dim; ++d) {
        const double value = want[std::size_t(d)];
        const double pair = std::hypot(value, want[std::size_t(d < half ? d + half : d - half)]);
        const DType dtype = is_q ? call.dtype : call.kv_dtype;
        const float got = is_q   ? call.q_value(row, head, d)
                          : is_k ? call.cached(call.k, call.k_scale, slot, kv_head, d)
                                 : call.cached(call.v, call.v_scale, slot, kv_head, d);
        ASSERT_NEAR(got, value, tolerance(call, pair, dtype, value, largest / 448))
            << what << " head " << head << " of " << model.dim << ", element " << d << ", position "
            << call.positions[std::size_t(row)];
      }
    }
  }
}

/// Guards, and slots that no row names, still hold what they held.
void expect_untouched(const Call& call) {
  const std::size_t token =
      std::size_t(call.model.kv_heads * call.model.dim) * size_of(call.kv_dtype);
  for (std::int64_t slot = 0; slot < call.num_slots + 1; ++slot) {
    if (std::find(call.slots.begin(), call.slots.end(), slot) != call.slots.end()) continue;
    const std::size_t begin = std::size_t(slot) * token,
                      end = std::min(begin + token, call.k.size());
    for (std::size_t i = begin; i < end; ++i) {
      ASSERT_EQ(call.k[i], Call::kUntouched) << "slot " << slot;
      ASSERT_EQ(call.v[i], Call::kUntouched) << "slot " << slot;
    }
    for (std::int64_t head = 0; slot < call.num_slots && head < call.model.kv_heads; ++head)
      ASSERT_EQ(call.k_scale[std::size_t(slot * call.model.kv_heads + head)], -5.0f);
  }
  for (std::size_t i = call.q_out.size() - 64; i < call.q_out.size(); ++i)
    ASSERT_EQ(call.q_out[i], Call::kUntouched);
}

const std::vector<std::int32_t> kPositions = {0, 1, 77, 0, 4095, 16384, 131071, 5, 262143};

TEST(RopeStore, AgreesWithTheDefinitionForEveryShapeAndInstructionSet) {
  std::vector<Model> models;
  for (std::int64_t dim : {2, 8, 16, 64, 80, 100, 128, 256}) {
    models.push_back({.heads = 3, .kv_heads = 1, .dim = dim});
    models.push_back({.heads = 9, .kv_heads = 3, .dim = dim, .norm = true});
    models.push_back({.heads = 2,
                      .kv_heads = 2,
                      .dim = dim,
                      .attention_factor = 1.27726f,
                      .beta = 0.1f,
                      .original = 16384});
  }
  for (const Model& model : models) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      for (DType kv_dtype : {DType::bf16, DType::f8_e4m3}) {
        for (Isa isa : testing::usable_isas()) {
          Call call(model, dtype, kv_dtype, kPositions);
          call.run(isa, 2);
          expect_definition(call, name_of(isa).data());
          expect_untouched(call);
        }
      }
    }
  }
}

TEST(RopeStore, ARowGetsTheSameBitsInAnyBatch) {
  const Model model{.heads = 5, .kv_heads = 2, .dim = 80, .norm = true};
  for (Isa isa : testing::usable_isas()) {
    Call all(model, DType::f32, DType::f8_e4m3, kPositions);
    all.run(isa, 3);
    Call one(model, DType::f32, DType::f8_e4m3, {kPositions[0]});
    one.run(isa, 1);
    const std::size_t q_bytes = one.q_out.size() - 64;
    EXPECT_EQ(std::memcmp(one.q_out.data(), all.q_out.data(), q_bytes), 0);
    const std::size_t token = std::size_t(model.kv_heads * model.dim);
    EXPECT_EQ(std::memcmp(one.k.data() + std::size_t(one.slots[0]) * token,
                          all.k.data() + std::size_t(all.slots[0]) * token, token),
              0);
  }
}

/// V is quantized without arithmetic before it, so codes are those of the scalar conversion
/// exactly.
TEST(RopeStore, QuantizesEveryMagnitudeAsTheScalarConversion) {
  const Model model{.heads = 1, .kv_heads = 1, .dim = 256};
  for (Isa isa : testing::usable_isas()) {
    Call call(model, DType::f32, DType::f8_e4m3, std::vector<std::int32_t>(3, 1));
    for (std::int64_t row = 0; row < 3; ++row) {
      float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
      for (int i = 0; i < 256; ++i) {
        // Row 0: all codes of the type and halves between them (the scale is 1). Row 1: 40 binades.
        // Row 2: zeros.
        const float code = to_float(float8_e4m3{std::uint8_t(i / 2 * 2 % 127)});
        const float next = to_float(float8_e4m3{std::uint8_t((i / 2 * 2 + 1) % 127)});
        v[i] = row == 0   ? (i % 2 ? -(code + next) / 2 : code)
               : row == 1 ? std::ldexp(1.3f, -i / 6)
                          : 0.0f;
      }
      if (row == 0) v[3] = 448.0f;
    }
    call.run(isa, 1);
    for (std::int64_t row = 0; row < 3; ++row) {
      const float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
      const std::int64_t slot = call.slots[std::size_t(row)];
      const float scale = row == 0 ? 1.0f : row == 1 ? 1.3f / 448.0f : 1.0f;
      EXPECT_EQ(call.v_scale[std::size_t(slot)], scale);
      for (int i = 0; i < 256; ++i)
        EXPECT_EQ(call.v[std::size_t(slot * 256 + i)], to_float8_e4m3(v[i] / scale).bits)
            << name_of(isa) << ' ' << v[i];
    }
  }
}

TEST(RopeStore, AnElementThatIsNotFiniteSpoilsItsScaleOnly) {
  const Model model{.heads = 1, .kv_heads = 2, .dim = 64};
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (Isa isa : testing::usable_isas()) {
      Call call(model, DType::f32, DType::f8_e4m3, {3});
      call.qkv[std::size_t(model.dim + 17)] = bad;  // first K head
      call.run(isa, 1);
      const std::size_t first = std::size_t(call.slots[0] * 2);
      EXPECT_TRUE(std::isnan(call.k_scale[first]));
      EXPECT_TRUE(std::isfinite(call.k_scale[first + 1]));
      EXPECT_TRUE(std::isfinite(call.v_scale[first]));
    }
  }
}

TEST(RopeStore, AgreesWithTransformers) {
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/rope_store.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "rope_store.json");
    Model model{.heads = fields.integer("heads", 1, 99),
                .kv_heads = fields.integer("kv_heads", 1, 99),
                .dim = fields.integer("head_dim", 1, 999)};
    model.norm = fields.boolean("norm", false);
    model.attention_factor = float(fields.number("attention_factor", 0, 9));
    model.beta = float(fields.number("beta", 0, 9));
    model.original = fields.integer("original", 1, 1 << 30);
    for (const json::value& f : fields.find("frequencies")->as_array())
      model.frequencies.push_back(float(f.to_number<double>()));
    std::vector<std::int32_t> positions;
    for (const json::value& p : fields.find("positions")->as_array())
      positions.push_back(std::int32_t(p.to_number<int>()));
    for (Isa isa : testing::usable_isas()) {
      Call call(model, DType::f32, DType::bf16, positions);
      for (std::size_t r = 0; r < positions.size(); ++r) call.slots[r] = std::int64_t(r);
      call.run(isa, 2);
      std::size_t next = 0;
      const json::array& q = fields.find("q")->as_array();
      const json::array& k = fields.find("k")->as_array();
      // transformers takes the angle in FP32: at position p it is off by p·2^-24. Elements are
      // below 4.
      for (std::size_t r = 0; r < positions.size(); ++r) {
        const double limit = 4 * (positions[r] + 16) * std::ldexp(1.0, -23);
        for (std::int64_t i = 0; i < model.heads * model.dim; ++i, ++next)
          ASSERT_NEAR(call.q_value(std::int64_t(r), 0, i), q[next].to_number<double>(), limit) << i;
      }
      next = 0;
      for (std::size_t r = 0; r < positions.size(); ++r) {
        for (std::int64_t i = 0; i < model.kv_heads * model.dim; ++i, ++next) {
          const double want = k[next].to_number<double>();
          const double limit =
              4 * (positions[r] + 16) * std::ldexp(1.0, -23) + std::ldexp(std::fabs(want), -8);
          ASSERT_NEAR(call.cached(call.k, call.k_scale, std::int64_t(r), 0, i), want, limit) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace isotope::ops
