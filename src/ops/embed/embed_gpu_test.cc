// embed on a GPU: exact, since a scale is one product.
#include <gtest/gtest.h>

#include "ops/embed/embed.h"
#include "ops/linear/linear_testing.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops {
namespace {

using namespace testing;

void expect_rows(const std::vector<const Matrix*>& matrices, const PackOptions& options) {
  GpuMachine machine;
  std::vector<LinearPart> parts;
  for (const Matrix* matrix : matrices) parts.push_back(matrix->part());
  const LinearWeight table = pack_linear(machine.context(), parts, true, options);
  std::vector<std::int32_t> ids = {-1, std::int32_t(table.n), 2000000000};
  std::vector<std::pair<const Matrix*, std::int64_t>> rows(3, {nullptr, 0});
  for (const Matrix* matrix : matrices)
    for (std::int64_t i = 0; i < matrix->n(); ++i) {
      ids.push_back(std::int32_t(rows.size() - 3));
      rows.emplace_back(matrix, i);
    }
  const std::int64_t count = std::int64_t(ids.size()), k = table.k;
  const TensorView out = machine.allocate(DType::f32, {count, k});
  embed(machine.context(), machine.upload(ids, {count}), table, out);
  const std::vector<std::byte> bytes = machine.download(out);
  const TensorView result(DType::f32, {count, k}, bytes.data());
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t j = 0; j < k; ++j) {
      const auto& [matrix, row] = rows[std::size_t(r)];
      float want = matrix ? float(matrix->at(row, j)) : 0.0f;
      if (matrix && matrix->format().dtype == DType::f16) want = to_float(to_bfloat16(want));
      ASSERT_EQ(load_float(result, r * k + j), want)
          << matrices[0]->format().name() << " row " << r << " column " << j << " of " << k;
    }
  EXPECT_TRUE(machine.intact());
}

TEST(EmbedGpu, GathersEveryRowOfEveryFormatAndLayout) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : all_formats())
    for (const auto& [n, k] : {std::pair(1, 1), std::pair(43, 130), std::pair(150, 64)}) {
      const Matrix matrix(format, n, k, std::uint64_t(k));
      for (const PackOptions& options : {PackOptions{}, PackOptions{.gathered_only = true},
                                         PackOptions{.gathered_only = true, .pinned = true}})
        expect_rows({&matrix}, options);
    }
}

TEST(EmbedGpu, ReadsStacksWhosePartsEndInsideEightRows) {
  ISOTOPE_REQUIRE_GPU();
  const Format format{DType::f8_e4m3, ScaleLayout::block_128x128};
  const Matrix a(format, 133, 300, 1), b(format, 20, 300, 2);
  expect_rows({&a, &b}, {});
  expect_rows({&a, &b}, {.gathered_only = true});
}

}  // namespace
}  // namespace isotope::ops
