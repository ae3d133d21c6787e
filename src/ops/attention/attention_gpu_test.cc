#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/json.h"
#include "ops/attention/attention.h"
#include "ops/testing/gpu_batch.h"
#include "ops/testing/paged_content.h"
#include "ops/testing/planted_fault.h"

namespace isotope::ops {
namespace {

using testing::Cache;
using testing::Chunk;
using testing::Content;
using testing::GpuMachine;
using testing::Heads;
using testing::PagedBatch;
using testing::PlantedFault;

/// Results by (sequence, position), one row each, as they are stored.
using Rows = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<float>>;

struct Run {
  DType dtype = DType::bf16;
  std::int64_t decode = 0;  ///< leading rows in decode phase; -1: all
  std::int64_t block_size = 16;
  unsigned seed = 1;
};

/// One call on the GPU. Queries of idle rows are NaN, tables of idle rows name blocks full of NaN,
/// and so is the output before.
Rows run(const Content& content, const std::vector<Chunk>& chunks, const Run& how) {
  const Heads& heads = content.heads;
  PagedBatch paged(chunks, how.block_size, how.seed);
  const Cache cache(content, paged);
  const std::int64_t rows = paged.batch.rows.total, row_size = heads.num * heads.dim;
  paged.batch.rows.decode = how.decode < 0 ? rows : how.decode;
  std::vector<float> q;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t seq = paged.row_seq[std::size_t(r)];
    const bool idle = chunks[std::size_t(seq)].idle;
    for (std::int64_t i = 0; i < row_size; ++i)
      q.push_back(
          idle ? std::numeric_limits<float>::quiet_NaN()
               : content.q(seq, paged.positions[std::size_t(r)], i / heads.dim, i % heads.dim));
  }
  std::vector<bfloat16> q16;
  for (const float x : q) q16.push_back(to_bfloat16(x));
  GpuMachine machine(
      attention_scratch(rows, heads.num, heads.dim, paged.width * how.block_size, true));
  const Shape q_shape{rows, heads.num, heads.dim};
  const bool wide = how.dtype == DType::f32;
  const TensorView q_gpu = wide ? machine.upload(q, q_shape) : machine.upload(q16, q_shape);
  const TensorView out = machine.allocate(how.dtype, Shape{rows, row_size});
  attention(machine.context(), q_gpu, testing::upload(machine, cache.layer), how.block_size,
            testing::upload(machine, paged.batch), out);
  const std::vector<std::byte> bytes = machine.download(out);
  EXPECT_TRUE(machine.intact());
  const TensorView host(how.dtype, Shape{rows * row_size}, bytes.data());
  Rows result;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<float>& row =
        result[{paged.row_seq[std::size_t(r)], paged.positions[std::size_t(r)]}];
    row.clear();
    for (std::int64_t i = 0; i < row_size; ++i) row.push_back(load_float(host, r * row_size + i));
  }
  return result;
}

/// |error| with |q| ≤ 2, |k|, |v| ≤ 1. A score is D exact products of at most 2, added up with D
/// roundings at most, over sqrt(D); it shifts weights by as much in relative terms, and so do two
/// ulp of exp2. Weights that meet V in BF16, with FP8 multiplied by their scale, are rounded to 8
/// bits, each by 2^-8 of itself at most, and so is the sum of them; a BF16 result by half a unit
/// in its last place.
double tolerance(const Content& content, DType dtype, double value) {
  const double u = std::ldexp(1.0, -24), dim = double(content.heads.dim);
  const double fp32 = 2 * dim * u * 2 * std::sqrt(dim) + 600 * u;
  if (dtype == DType::f32) return fp32;
  return fp32 + std::ldexp(1.0, -8) + std::ldexp(std::fabs(value), -8);
}

void expect_definition(const Content& content, const Rows& rows, DType dtype,
                       const std::string& what) {
  double worst = 0, at_most = 0;
  for (const auto& [key, row] : rows) {
    const std::vector<double> want = testing::definition(content, key.first, key.second);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double limit = tolerance(content, dtype, want[i]);
      worst = std::max(worst, std::fabs(row[i] - want[i]));
      at_most = std::max(at_most, limit);
      ASSERT_NEAR(row[i], want[i], limit)
          << what << ": sequence " << key.first << " position " << key.second << " element " << i
          << " of heads of " << content.heads.dim;
    }
  }
  if (std::getenv("ISOTOPE_TEST_VERBOSE"))
    printf("%s: worst %.3g of %.3g\n", what.c_str(), worst, at_most);
}

std::string name(const Heads& heads, DType kv) {
  return fmt::format("{}/{} heads of {}, {}", heads.num, heads.kv, heads.dim, name_of(kv));
}

/// Bits, so that 0 and -0 differ and NaN equals itself.
void expect_same_bits(const Rows& rows, const Rows& reference, const std::string& what) {
  for (const auto& [key, row] : rows) {
    const auto want = reference.find(key);
    if (want == reference.end()) continue;
    for (std::size_t i = 0; i < row.size(); ++i)
      ASSERT_EQ(std::memcmp(&row[i], &want->second[i], sizeof(float)), 0)
          << what << ": position " << key.second << " of sequence " << key.first << ", element "
          << i << ": " << row[i] << ", not " << want->second[i];
  }
}

/// Heads for the matrix units with every kind of group, and some for the plain kernel.
const std::vector<Heads> kHeads = {{1, 1, 64}, {4, 2, 64},   {3, 1, 128}, {8, 2, 128},
                                   {8, 1, 64}, {16, 1, 128}, {9, 1, 64},  {4, 2, 80},
                                   {2, 1, 20}, {17, 1, 64},  {2, 1, 256}, {12, 3, 128}};

TEST(AttentionGpu, DecodeAgreesWithTheDefinition) {
  ISOTOPE_REQUIRE_GPU();
  const std::vector<Chunk> chunks = {{0, 1},   {14, 3},      {63, 1}, {64, 1},
                                     {130, 1}, {0, 1, true}, {79, 2}};
  for (const Heads& heads : kHeads) {
    for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
      const Content content{heads, kv};
      Rows rows = run(content, chunks, {.decode = -1, .block_size = heads.num == 8 ? 8 : 16});
      EXPECT_EQ(rows.at({5, 0}), std::vector<float>(std::size_t(heads.num * heads.dim), 0.0f));
      rows.erase({5, 0});
      expect_definition(content, rows, DType::bf16, "decode " + name(heads, kv));
    }
  }
}

// What an idle row of a padded batch holds is NaN here; a kernel that computes it like others lets
// it out.
TEST(AttentionGpu, AnIdleRowThatIsComputedWouldBeNoticed) {
  ISOTOPE_REQUIRE_GPU();
  const Content content{{4, 2, 64}, DType::bf16};
  const PlantedFault fault("ops/attention/attention_decode.cu", "if (p.context_lens[seq] == 0) {",
                           "if (false) {");
  const Rows rows = run(content, {{14, 3}, {0, 1, true}}, {.decode = -1});
  const std::vector<float>& idle = rows.at({1, 0});
  EXPECT_TRUE(std::any_of(idle.begin(), idle.end(), [](float x) { return std::isnan(x); }));
}

TEST(AttentionGpu, PrefillAgreesWithTheDefinition) {
  ISOTOPE_REQUIRE_GPU();
  // Tiles of 8 … 128 rows; rows in front that are not theirs; idle rows; contexts that begin
  // anywhere in a block of keys.
  const std::vector<Chunk> chunks = {{70, 2}, {0, 33}, {0, 2, true}, {50, 19}, {64, 1}, {127, 3}};
  for (const Heads& heads : kHeads) {
    for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
      const Content content{heads, kv};
      Rows rows = run(content, chunks, {.decode = 2, .block_size = heads.num == 8 ? 8 : 32});
      EXPECT_EQ(rows.at({2, 0}), std::vector<float>(std::size_t(heads.num * heads.dim), 0.0f));
      rows.erase({2, 0});
      expect_definition(content, rows, DType::bf16, "prefill " + name(heads, kv));
    }
  }
}

TEST(AttentionGpu, PrefillBitsDependOnThePositionAlone) {
  ISOTOPE_REQUIRE_GPU();
  for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
    for (const Heads& heads : {Heads{4, 1, 64}, Heads{3, 1, 128}, Heads{2, 1, 80}}) {
      const Content content{heads, kv};
      const Rows whole = run(content, {{0, 150}}, {});
      const std::vector<std::vector<Chunk>> compositions = {
          {{0, 64}},
          {{64, 86}},
          {{100, 1}, {0, 5}},
          {{149, 1}, {31, 40}, {0, 1, true}},
          {{17, 45}, {0, 3}, {90, 2}},
      };
      for (const std::vector<Chunk>& chunks : compositions) {
        Rows rows = run(content, chunks, {.block_size = 8, .seed = 5});
        std::erase_if(rows, [](const auto& row) { return row.first.first != 0; });
        expect_same_bits(rows, whole, name(heads, kv));
      }
      // With rows of other sequences in front, in decode phase too.
      const Rows mixed = run(content, {{30, 1}, {7, 2}}, {.decode = 1, .seed = 9});
      const Rows same = run(content, {{30, 1}, {7, 2}, {0, 9}}, {.decode = 1, .seed = 3});
      expect_same_bits(mixed, same, "mixed " + name(heads, kv));
    }
  }
}

/// A value of the future that is not finite must not reach the rows before it, though they share a
/// block of keys.
TEST(AttentionGpu, RowsDoNotSeeTheFuture) {
  ISOTOPE_REQUIRE_GPU();
  for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
    for (const Heads& heads : {Heads{2, 1, 64}, Heads{2, 1, 80}}) {
      const Content content{heads, kv};
      constexpr std::int64_t kRows = 40, kBad = 13;
      PagedBatch paged({{0, kRows}}, 16, 1);
      Cache cache(content, paged);
      const std::size_t slot = std::size_t(paged.slot(0, kBad));
      const float nan = std::numeric_limits<float>::quiet_NaN();
      for (std::size_t d = 0; d < std::size_t(heads.dim); ++d) {
        if (kv == DType::bf16) {
          cache.v16[slot * std::size_t(heads.dim) + d] = 0x7f80;
          cache.k16[slot * std::size_t(heads.dim) + d] = 0x7fc0;
        } else {
          cache.v8[slot * std::size_t(heads.dim) + d] =
              cache.k8[slot * std::size_t(heads.dim) + d] = 0x7f;
        }
      }
      if (kv != DType::bf16) cache.k_scale[slot] = cache.v_scale[slot] = nan;
      GpuMachine machine;
      std::vector<bfloat16> q(std::size_t(kRows * heads.num * heads.dim), to_bfloat16(0.25f));
      const TensorView out = machine.allocate(DType::bf16, Shape{kRows, heads.num * heads.dim});
      attention(machine.context(), machine.upload(q, Shape{kRows, heads.num, heads.dim}),
                testing::upload(machine, cache.layer), 16, testing::upload(machine, paged.batch),
                out);
      const std::vector<std::byte> bytes = machine.download(out);
      const TensorView host(DType::bf16, Shape{kRows * heads.num * heads.dim}, bytes.data());
      for (std::int64_t i = 0; i < kRows * heads.num * heads.dim; ++i)
        ASSERT_EQ(std::isfinite(load_float(host, i)), i < kBad * heads.num * heads.dim)
            << i << name(heads, kv);
    }
  }
}

TEST(AttentionGpu, Fp32AgreesWithTheDefinition) {
  ISOTOPE_REQUIRE_GPU();
  for (const Heads& heads : {Heads{4, 2, 64}, Heads{3, 1, 20}}) {
    for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
      const Content content{heads, kv};
      const Rows rows =
          run(content, {{129, 1}, {0, 5}, {127, 2}}, {.dtype = DType::f32, .decode = 1});
      expect_definition(content, rows, DType::f32, "FP32 " + name(heads, kv));
    }
  }
}

TEST(AttentionGpu, DecodeCrossesEverySplitRule) {
  ISOTOPE_REQUIRE_GPU();
  const Content content{{2, 1, 64}, DType::bf16};
  for (const std::int64_t position : {511, 575, 2046, 2047, 2048, 2049, 4100}) {
    expect_definition(content, run(content, {{position, 1}}, {.decode = -1, .block_size = 64}),
                      DType::bf16, fmt::format("position {}", position));
  }
}

TEST(AttentionGpu, DecodeBitsDependOnThePositionAlone) {
  ISOTOPE_REQUIRE_GPU();
  for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
    for (const Heads& heads : {Heads{4, 1, 64}, Heads{2, 1, 80}}) {
      const Content content{heads, kv};
      const Rows alone = run(content, {{700, 1}}, {.decode = -1});
      // 70 more rows take the blocks of a launch below what one row gets; other blocks and their
      // size move the keys.
      const std::vector<Chunk> others = {{700, 1}, {0, 68}, {0, 1, true}, {90, 2}};
      expect_same_bits(alone, run(content, others, {.decode = -1, .block_size = 16, .seed = 5}),
                       "among others");
      expect_same_bits(alone, run(content, others, {.decode = -1, .block_size = 8, .seed = 6}),
                       "small blocks");
      expect_same_bits(alone,
                       run(content, {{699, 2}, {3, 5}}, {.decode = 2, .block_size = 64, .seed = 7}),
                       "before a prefill");
    }
  }
}

TEST(AttentionGpu, MoreDecodeRowsThanOneLaunchTakes) {
  ISOTOPE_REQUIRE_GPU();
  const Content content{{1, 1, 64}, DType::bf16};
  expect_definition(content, run(content, {{0, 130}}, {.decode = -1}), DType::bf16, "130 rows");
}

TEST(AttentionGpu, AgreesWithPyTorch) {
  ISOTOPE_REQUIRE_GPU();
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/attention.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "attention.json");
    const Heads heads{fields.integer("heads", 1, 99), fields.integer("kv_heads", 1, 99),
                      fields.integer("head_dim", 1, 999)};
    const Content content{heads, DType::bf16};
    const std::int64_t first = fields.integer("first", 0, 9999),
                       count = fields.integer("rows", 1, 9999);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::int64_t decode : {std::int64_t(0), std::int64_t(-1)}) {
        const Rows rows = run(content, {{first, count}}, {.dtype = dtype, .decode = decode});
        std::size_t next = 0;
        for (const auto& [key, row] : rows) {
          for (const float value : row) {
            const double want = fields.find("output")->as_array()[next++].to_number<double>();
            ASSERT_NEAR(value, want, tolerance(content, dtype, want));
          }
        }
        EXPECT_EQ(next, fields.find("output")->as_array().size());
      }
    }
  }
}

}  // namespace
}  // namespace isotope::ops
