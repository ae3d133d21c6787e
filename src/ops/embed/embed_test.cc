#include "ops/embed/embed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ops/testing/noise.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops {
namespace {

using device::CpuDevice;

/// A checkpoint's matrix [n, k] with scales, and its rows computed from the definition.
struct Source {
  std::int64_t n, k;
  DType dtype;
  ScaleLayout layout;
  std::vector<float> f32, scales;
  std::vector<bfloat16> bf16;
  std::vector<float8_e4m3> fp8;

  Source(std::int64_t n_, std::int64_t k_, DType dtype_, ScaleLayout layout_)
      : n(n_), k(k_), dtype(dtype_), layout(layout_) {
    for (std::int64_t i = 0; i < n * k; ++i) {
      f32.push_back(4.0f * testing::noise(1, std::uint32_t(i)));
      bf16.push_back(to_bfloat16(f32.back()));
      fp8.push_back(to_float8_e4m3(f32.back()));
    }
    const std::int64_t blocks = ceil_div(n, std::int64_t(128)) * ceil_div(k, std::int64_t(128));
    const std::int64_t count = layout == ScaleLayout::none         ? 0
                               : layout == ScaleLayout::per_tensor ? 1
                               : layout == ScaleLayout::per_row    ? n
                                                                   : blocks;
    for (std::int64_t i = 0; i < count; ++i) scales.push_back(0.5f + 0.25f * float(i % 7));
  }

  ScaledTensor tensor() const {
    ScaledTensor result;
    const void* data = dtype == DType::f32    ? (const void*)f32.data()
                       : dtype == DType::bf16 ? (const void*)bf16.data()
                                              : (const void*)fp8.data();
    result.weight = TensorView(dtype, Shape{n, k}, data);
    result.scale_layout = layout;
    if (layout == ScaleLayout::none) return result;
    const Shape shape = layout == ScaleLayout::per_tensor ? Shape{}
                        : layout == ScaleLayout::per_row
                            ? Shape{n}
                            : Shape{ceil_div(n, std::int64_t(128)), ceil_div(k, std::int64_t(128))};
    result.scale = TensorView(DType::f32, shape, scales.data());
    return result;
  }

  float value(std::int64_t i, std::int64_t j) const {
    const std::size_t at = std::size_t(i * k + j);
    const float raw = dtype == DType::f32    ? f32[at]
                      : dtype == DType::bf16 ? to_float(bf16[at])
                                             : to_float(fp8[at]);
    switch (layout) {
      case ScaleLayout::none:
        return raw;
      case ScaleLayout::per_tensor:
        return raw * scales[0];
      case ScaleLayout::per_row:
        return raw * scales[std::size_t(i)];
      case ScaleLayout::block_128x128:
        return raw * scales[std::size_t(i / 128 * ceil_div(k, std::int64_t(128)) + j / 128)];
    }
    return 0;
  }
};

/// Every row of the stacked parts, and ids that do not exist, against the definition. Exact: a
/// scale is one product.
void expect_rows(const std::vector<Source>& parts, device::Isa isa, int threads) {
  CpuDevice device(threads, isa);
  Context context(device, 1 << 20, isa == device::Isa::scalar ? Path::oracle : Path::fast);
  std::vector<LinearPart> inputs;
  for (const Source& part : parts) inputs.push_back({part.tensor(), {}});
  const LinearWeight table = pack_linear(context, inputs, true);
  std::vector<std::int32_t> ids = {-1, std::int32_t(table.n), 2000000000};
  std::vector<const Source*> sources(3, nullptr);
  std::vector<std::int64_t> rows(3, 0);
  for (const Source& part : parts) {
    for (std::int64_t i = 0; i < part.n; ++i) {
      ids.push_back(std::int32_t(ids.size() - 3));
      sources.push_back(&part);
      rows.push_back(i);
    }
  }
  const std::int64_t count = std::int64_t(ids.size()), k = table.k, stride = k + 3;
  std::vector<float> out(std::size_t(count * stride), -77.0f);
  TensorView view(DType::f32, Shape{count, k}, out.data());
  view.row_stride = stride;
  embed(context, TensorView(DType::i32, Shape{count}, ids.data()), table, view);
  for (std::int64_t r = 0; r < count; ++r) {
    for (std::int64_t j = 0; j < stride; ++j) {
      const Source* source = sources[std::size_t(r)];
      const float want = j >= k ? -77.0f : source ? source->value(rows[std::size_t(r)], j) : 0.0f;
      ASSERT_EQ(out[std::size_t(r * stride + j)], want)
          << name_of(isa) << ' ' << name_of(parts[0].dtype) << ' ' << name_of(parts[0].layout)
          << " row " << r << " column " << j << " of " << k;
    }
  }
}

TEST(Embed, GathersEveryRowOfEveryDtypeAndLayout) {
  for (device::Isa isa : testing::usable_isas()) {
    for (std::int64_t k : {1, 7, 64, 130, 576}) {
      for (std::int64_t n : {1, 16, 43, 200}) {
        expect_rows({Source(n, k, DType::f32, ScaleLayout::none)}, isa, 2);
        expect_rows({Source(n, k, DType::bf16, ScaleLayout::none)}, isa, 2);
        for (ScaleLayout layout :
             {ScaleLayout::per_tensor, ScaleLayout::per_row, ScaleLayout::block_128x128})
          expect_rows({Source(n, k, DType::f8_e4m3, layout)}, isa, 1);
      }
    }
  }
}

TEST(Embed, ReadsStacksWhosePartsBeginInsideATile) {
  for (device::Isa isa : testing::usable_isas()) {
    const ScaleLayout block = ScaleLayout::block_128x128;
    expect_rows({Source(135, 300, DType::f8_e4m3, block), Source(20, 300, DType::f8_e4m3, block)},
                isa, 2);
  }
}

}  // namespace
}  // namespace isotope::ops
