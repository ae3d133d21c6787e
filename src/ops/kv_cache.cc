#include "ops/kv_cache.h"

#include "base/checked.h"

namespace isotope::ops {

std::size_t KvCacheShape::bytes_per_block() const {
  const std::int64_t scale_bytes = dtype == DType::f8_e4m3 ? std::int64_t(sizeof(float)) : 0;
  const std::int64_t per_head = head_dim * std::int64_t(size_of(dtype)) + scale_bytes;
  return std::size_t(2 * num_layers * block_size * num_kv_heads * per_head);
}

KvCache::KvCache(device::Device& device, const KvCacheShape& shape) : shape_(shape) {
  const std::size_t total =
      checked_mul(shape.bytes_per_block(), std::size_t(shape.num_blocks), "bytes of the KV cache");
  buffer_ = device.allocate(total, "the KV cache");
  const std::int64_t slots = shape.num_blocks * shape.block_size;
  const Shape values{slots, shape.num_kv_heads, shape.head_dim};
  const Shape scales{slots, shape.num_kv_heads};
  std::byte* next = buffer_.as<std::byte>();
  const auto take = [&next](DType dtype, const Shape& dims) {
    const TensorView view(dtype, dims, next);
    next += view.bytes();
    return view;
  };
  for (std::int64_t i = 0; i < shape.num_layers; ++i) {
    KvLayer layer;
    layer.k = take(shape.dtype, values);
    layer.v = take(shape.dtype, values);
    layers_.push_back(layer);
  }
  if (shape.dtype != DType::f8_e4m3) return;
  for (KvLayer& layer : layers_) {
    layer.k_scale = take(DType::f32, scales);
    layer.v_scale = take(DType::f32, scales);
  }
}

}  // namespace isotope::ops
