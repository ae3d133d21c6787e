#include <numeric>
#include <random>

#include "ops/bandwidth/bandwidth.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops {
namespace {

using testing::GpuMachine;

TEST(ReadBandwidthGpu, EveryWordIsReadOnce) {
  ISOTOPE_REQUIRE_GPU();
  std::mt19937 random(1);
  for (const std::int64_t vectors : {1, 255, 2047, 2048, 2049, 2048 * 3, 2048 * 5 + 77})
    for (const int blocks : {1, 2, 5}) {
      GpuMachine machine;
      std::vector<std::int32_t> words(std::size_t(vectors * 4));
      for (std::int32_t& word : words) word = std::int32_t(random());
      const TensorView data = machine.upload(words, {vectors * 4});
      const TensorView sums =
          machine.allocate(DType::i32, {std::int64_t(gpu::read_threads(blocks))});
      gpu::read_once(machine.context(), data.data, std::size_t(data.bytes()), blocks, sums.data);
      const std::vector<std::byte> bytes = machine.download(sums);
      const auto* partial = reinterpret_cast<const std::uint32_t*>(bytes.data());
      const auto add = [](std::uint32_t a, std::int64_t b) { return a + std::uint32_t(b); };
      EXPECT_EQ(std::accumulate(partial, partial + bytes.size() / 4, 0u, add),
                std::accumulate(words.begin(), words.end(), 0u, add))
          << vectors << " vectors, " << blocks << " blocks";
      EXPECT_TRUE(machine.intact());
    }
}

TEST(ReadBandwidthGpu, IsAPositiveNumber) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine;
  EXPECT_GT(read_bandwidth(machine.context(), std::size_t(1) << 16), 0);
}

}  // namespace
}  // namespace isotope::ops
