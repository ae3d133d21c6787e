#include "ops/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/json.h"
#include "ops/testing/paged_content.h"

namespace isotope::ops {
namespace {

using device::CpuDevice;
using device::Isa;
using testing::Cache;
using testing::Chunk;
using testing::Content;
using testing::definition;
using testing::Heads;
using testing::PagedBatch;

/// Results by (sequence, position), one row each.
using Rows = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<float>>;

struct Run {
  Isa isa = device::detect_isa();
  int threads = 2;
  DType dtype = DType::f32;
  std::int64_t block_size = 16;
  unsigned seed = 1;
};

Rows run(const Content& content, const std::vector<Chunk>& chunks, const Run& how) {
  const Heads& heads = content.heads;
  PagedBatch paged(chunks, how.block_size, how.seed);
  const Cache cache(content, paged);
  const std::int64_t rows = paged.batch.rows.total, row_size = heads.num * heads.dim;
  constexpr std::int64_t kGuard = 5;
  constexpr float kSentinel = 12345.0f;
  std::vector<float> q, out(std::size_t((rows + kGuard) * row_size), kSentinel);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < row_size; ++i)
      q.push_back(content.q(paged.row_seq[std::size_t(r)], paged.positions[std::size_t(r)],
                            i / heads.dim, i % heads.dim));
  }
  std::vector<bfloat16> q16, out16(out.size(), to_bfloat16(kSentinel));
  for (float x : q) q16.push_back(to_bfloat16(x));
  const bool wide = how.dtype == DType::f32;
  CpuDevice device(how.threads, how.isa);
  Context context(device,
                  attention_scratch(rows, heads.num, heads.dim, paged.width * paged.block_size),
                  how.isa == Isa::scalar ? Path::oracle : Path::fast);
  attention(
      context,
      TensorView(how.dtype, Shape{rows, heads.num, heads.dim}, wide ? (void*)q.data() : q16.data()),
      cache.layer, how.block_size, paged.batch,
      TensorView(how.dtype, Shape{rows, row_size}, wide ? (void*)out.data() : out16.data()));
  Rows result;
  if (!wide)
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(out16[i]);
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto begin = out.begin() + r * row_size;
    result[{paged.row_seq[std::size_t(r)], paged.positions[std::size_t(r)]}].assign(
        begin, begin + row_size);
  }
  for (std::size_t i = std::size_t(rows * row_size); i < out.size(); ++i)
    EXPECT_EQ(out[i], wide ? kSentinel : to_float(to_bfloat16(kSentinel)))
        << "written past the end at " << i;
  return result;
}

/// |error| of FP32 arithmetic with |q| ≤ 2, |k|, |v| ≤ 1: a score is D products of at most 2 whose
/// sum over sqrt(D) is off by at most (D/8 + 8)·u·2·sqrt(D) (lanes add up D/8 or D/16 of them);
/// that shifts weights by as much in relative terms, twice through the division; then at most 256 +
/// parts additions of weights. A BF16 result is rounded by half a unit in the last of 8 places.
double tolerance(const Content& content, std::int64_t position, DType dtype, double value) {
  const double u = std::ldexp(1.0, -24), dim = double(content.heads.dim);
  const double score = (dim / 8 + 8) * u * 2 * std::sqrt(dim);
  const double sums = 2 * (256 + double(position) / 256 + 16) * u;
  return 2 * score + sums + (dtype == DType::bf16 ? std::ldexp(std::fabs(value), -8) : 0.0);
}

void expect_definition(const Content& content, const Rows& rows, DType dtype, const char* what) {
  for (const auto& [key, row] : rows) {
    const std::vector<double> want = definition(content, key.first, key.second);
    for (std::size_t i = 0; i < row.size(); ++i) {
      ASSERT_NEAR(row[i], want[i], tolerance(content, key.second, dtype, want[i]))
          << what << ": sequence " << key.first << " position " << key.second << " element " << i
          << " of heads of " << content.heads.dim;
    }
  }
}

TEST(Attention, AgreesWithTheDefinitionForEveryShapeAndInstructionSet) {
  const std::vector<Heads> shapes = {{4, 2, 8},  {3, 3, 16},  {9, 3, 64},  {6, 1, 32}, {4, 4, 80},
                                     {5, 1, 96}, {8, 2, 128}, {2, 1, 256}, {4, 1, 100}};
  const std::vector<Chunk> chunks = {{0, 37}, {300, 1}, {255, 3}, {0, 1}};
  for (const Heads& heads : shapes) {
    for (DType kv : {DType::bf16, DType::f8_e4m3}) {
      for (Isa isa : testing::usable_isas()) {
        const Content content{heads, kv};
        const DType dtype = heads.dim % 32 ? DType::f32 : DType::bf16;
        expect_definition(content, run(content, chunks, {.isa = isa, .dtype = dtype}), dtype,
                          name_of(isa).data());
      }
    }
  }
}

TEST(Attention, CrossesManyPartsAndAwkwardBlocks) {
  const Content content{{4, 2, 32}, DType::bf16};
  for (std::int64_t block_size : {1, 7, 16, 600}) {
    for (int threads : {1, 2}) {
      const Rows rows =
          run(content, {{1530, 9}, {2047, 1}}, {.threads = threads, .block_size = block_size});
      expect_definition(content, rows, DType::f32, "long");
    }
  }
}

TEST(Attention, MoreHeadsThanATileHolds) {
  for (Isa isa : testing::usable_isas()) {
    const Content content{{70, 2, 16}, DType::bf16};  // 35 query heads on each KV head
    expect_definition(content, run(content, {{0, 3}, {290, 1}}, {.isa = isa}), DType::f32,
                      "wide group");
  }
}

TEST(Attention, OneHotKeysSelectTheirValue) {
  // Keys 0 … 15 are unit vectors times 40, and queries too: each query attends to one key alone,
  // with weight 1 / (1 + 15·e^-400) = 1. Written out without any generator.
  constexpr std::int64_t kDim = 16;
  PagedBatch paged({{0, 16}}, 4, 3);
  std::vector<bfloat16> k(std::size_t(paged.num_slots() * kDim)), v(k.size());
  std::vector<float> q(16 * kDim), out(16 * kDim);
  for (std::int64_t p = 0; p < 16; ++p) {
    for (std::int64_t d = 0; d < kDim; ++d) {
      const std::size_t i = std::size_t(paged.slot(0, p) * kDim + d);
      k[i] = to_bfloat16(d == p ? 40.0f : 0.0f);
      v[i] = to_bfloat16(float(p * 2 + d));
      q[std::size_t(p * kDim + d)] = d == p / 2 ? 40.0f : 0.0f;  // row p looks for key p / 2 ≤ p
    }
  }
  const Shape cache{paged.num_slots(), 1, kDim};
  const KvLayer layer{
      TensorView(DType::bf16, cache, k.data()), TensorView(DType::bf16, cache, v.data()), {}, {}};
  for (Isa isa : testing::usable_isas()) {
    CpuDevice device(2, isa);
    Context context(device, attention_scratch(16, 1, kDim, 16));
    attention(context, TensorView(DType::f32, Shape{16, 1, kDim}, q.data()), layer, 4, paged.batch,
              TensorView(DType::f32, Shape{16, kDim}, out.data()));
    for (std::int64_t p = 0; p < 16; ++p)
      for (std::int64_t d = 0; d < kDim; ++d)
        EXPECT_EQ(out[std::size_t(p * kDim + d)], float(p / 2 * 2 + d))
            << name_of(isa) << p << ' ' << d;
  }
}

TEST(Attention, IdleRowsAreZeroAndDisturbNobody) {
  const Content content{{4, 2, 64}, DType::f8_e4m3};
  for (Isa isa : testing::usable_isas()) {
    const Rows alone = run(content, {{270, 1}}, {.isa = isa});
    const Rows padded = run(content, {{270, 1}, {0, 3, true}, {0, 1, true}}, {.isa = isa});
    EXPECT_EQ(alone.at({0, 270}), padded.at({0, 270}));
    EXPECT_EQ(padded.at({1, 0}), std::vector<float>(4 * 64, 0.0f));
    EXPECT_EQ(padded.at({2, 0}), std::vector<float>(4 * 64, 0.0f));
  }
}

/// Bits, so that 0 and -0 differ and NaN equals itself.
void expect_same_bits(const Rows& rows, const Rows& reference, const char* what) {
  for (const auto& [key, row] : rows) {
    const std::vector<float>& want = reference.at(key);
    ASSERT_EQ(std::memcmp(row.data(), want.data(), row.size() * sizeof(float)), 0)
        << what << ": position " << key.second << " of sequence " << key.first;
  }
}

TEST(Attention, BitsDependOnThePositionAlone) {
  constexpr std::int64_t kLength = 601;
  for (const Heads& heads : {Heads{8, 2, 128}, Heads{9, 3, 64}, Heads{3, 3, 80}}) {
    for (DType kv : {DType::bf16, DType::f8_e4m3}) {
      for (Isa isa : testing::usable_isas()) {
        if (isa == Isa::scalar) continue;
        const Content content{heads, kv};
        const Rows whole = run(content, {{0, kLength}}, {.isa = isa, .threads = 1});
        for (std::int64_t chunk : {1, 5, 100, 256}) {
          for (std::int64_t first : {std::int64_t(0), std::int64_t(200), kLength - chunk}) {
            // Another sequence in front moves rows to other tiles; more threads split the context.
            const std::vector<Chunk> mixed = {{first, chunk}, {40, 11}, {0, 2, true}, {first, 1}};
            const Rows rows =
                run(content, mixed, {.isa = isa, .threads = 5, .block_size = 32, .seed = 9});
            Rows own;
            for (const auto& [key, row] : rows)
              if (key.first == 0) own[key] = row;
            expect_same_bits(own, whole, name_of(isa).data());
          }
        }
        expect_same_bits(run(content, {{0, kLength}}, {.isa = isa, .threads = 3, .seed = 77}),
                         whole, "threads");
      }
    }
  }
}

TEST(Attention, AnInfiniteFutureValueDoesNotReachEarlierRows) {
  const Content content{{2, 1, 32}, DType::bf16};
  PagedBatch paged({{0, 20}}, 16, 1);
  Cache cache(content, paged);
  for (std::int64_t d = 0; d < 32; ++d) cache.v16[std::size_t(paged.slot(0, 13) * 32 + d)] = 0x7f80;
  std::vector<float> q(20 * 64, 0.25f), out(20 * 64);
  for (Isa isa : testing::usable_isas()) {
    CpuDevice device(1, isa);
    Context context(device, attention_scratch(20, 2, 32, 20));
    attention(context, TensorView(DType::f32, Shape{20, 2, 32}, q.data()), cache.layer, 16,
              paged.batch, TensorView(DType::f32, Shape{20, 64}, out.data()));
    for (std::size_t i = 0; i < 13 * 64; ++i)
      ASSERT_TRUE(std::isfinite(out[i])) << name_of(isa) << ' ' << i;
    EXPECT_FALSE(std::isfinite(out[13 * 64]));
  }
}

TEST(Attention, AgreesWithPyTorch) {
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/attention.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "attention.json");
    const Heads heads{fields.integer("heads", 1, 99), fields.integer("kv_heads", 1, 99),
                      fields.integer("head_dim", 1, 999)};
    const Content content{heads, DType::bf16};
    const std::int64_t first = fields.integer("first", 0, 9999),
                       count = fields.integer("rows", 1, 9999);
    for (Isa isa : testing::usable_isas()) {
      const Rows rows = run(content, {{first, count}}, {.isa = isa});
      std::size_t next = 0;
      for (const auto& [key, row] : rows) {
        for (float value : row) {
          // The file holds eight digits of a double-precision result.
          const double want = fields.find("output")->as_array()[next++].to_number<double>();
          ASSERT_NEAR(value, want, tolerance(content, key.second, DType::f32, want))
              << name_of(isa);
        }
      }
      EXPECT_EQ(next, fields.find("output")->as_array().size());
    }
  }
}

}  // namespace
}  // namespace isotope::ops
