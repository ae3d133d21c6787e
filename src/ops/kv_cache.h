// The paged key/value cache: token-major blocks, BF16 or FP8 with one scale per token and head.
#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor.h"
#include "device/device.h"

namespace isotope::ops {

struct KvCacheShape {
  std::int64_t num_layers = 0, num_blocks = 0, block_size = 16, num_kv_heads = 0, head_dim = 0;
  DType dtype = DType::bf16;  ///< bf16 or f8_e4m3

  /// Bytes of one block over all layers, scales included.
  std::size_t bytes_per_block() const;
};

/// One layer. Slot s is token s % block_size of block s / block_size.
struct KvLayer {
  TensorView k, v;              ///< [num_blocks · block_size, kv_heads, head_dim]
  TensorView k_scale, v_scale;  ///< [num_blocks · block_size, kv_heads] f32 if FP8, else empty
};

class KvCache {
 public:
  KvCache() = default;
  KvCache(device::Device& device, const KvCacheShape& shape);
  const KvCacheShape& shape() const { return shape_; }
  const KvLayer& layer(std::int64_t i) const { return layers_[std::size_t(i)]; }

 private:
  KvCacheShape shape_;
  device::Buffer buffer_;
  std::vector<KvLayer> layers_;
};

}  // namespace isotope::ops
