// The simulated card through HIP's functions: machine code that clang made, a right kernel and ones with planted faults.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "sim/testing.h"

namespace isotope::emulated {
namespace {

struct Params {
  const unsigned* in;
  unsigned* out;
};
constexpr const char* kKernels = R"(
struct Params { const unsigned* in; unsigned* out; };
__shared__ unsigned words[256];

/// out[i] = in[i] of the thread 33 further on, by LDS.
extern "C" __global__ void rotate(Params p) {
  words[threadIdx.x] = p.in[threadIdx.x];
  __syncthreads();
  p.out[threadIdx.x] = words[(threadIdx.x + 33) % 256];
}
/// As rotate, but nothing orders the waves.
extern "C" __global__ void missing_barrier(Params p) {
  words[threadIdx.x] = p.in[threadIdx.x];
  __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "wavefront");
  p.out[threadIdx.x] = words[(threadIdx.x + 33) % 256];
}
/// One element too far.
extern "C" __global__ void off_by_one(Params p) { p.out[threadIdx.x + 1] = 1; }
/// Reads what nobody wrote.
extern "C" __global__ void unwritten_lds(Params p) { p.out[threadIdx.x] = words[threadIdx.x]; }
)";

using Words = std::vector<unsigned>;
constexpr std::size_t kThreads = 256;
constexpr int kLaunchFailure = 719, kIllegalAddress = 700;

/// A function of the library as the program finds it.
template <typename F>
F* function(const char* name) {
  static void* const library = dlopen(SIMULATED_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(dlerror());
  return reinterpret_cast<F*>(dlsym(library, name));
}

class SimulatedCard : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!sim::have_hip_compiler()) GTEST_SKIP() << "no clang-19";
    const std::vector<std::byte> code = sim::compile_hip(std::string(sim::kHipPrelude) + kKernels);
    ASSERT_EQ(function<int(void**, const void*)>("hipModuleLoadData")(&module_, code.data()), 0);
    ASSERT_EQ(function<int(void**, unsigned)>("hipStreamCreateWithFlags")(&stream_, 1), 0);
    in_ = allocate();
    out_ = allocate();
    Words words(kThreads);
    std::iota(words.begin(), words.end(), 1000u);
    ASSERT_EQ(function<int(void*, const void*, std::size_t, void*)>("hipMemcpyHtoDAsync")(in_, words.data(), kThreads * 4,
                                                                                          stream_),
              0);
  }
  void TearDown() override {
    function<int(void*)>("hipFree")(in_);
    function<int(void*)>("hipFree")(out_);
    function<int(void*)>("hipModuleUnload")(module_);
    function<int(void*)>("hipStreamDestroy")(stream_);
  }
  unsigned* allocate() {
    void* data = nullptr;
    EXPECT_EQ(function<int(void**, std::size_t)>("hipMalloc")(&data, kThreads * 4), 0);
    return static_cast<unsigned*>(data);
  }
  /// The code that waiting for a launch gives.
  int run(const char* name, const unsigned* in, unsigned* out) {
    void* kernel = nullptr;
    EXPECT_EQ(function<int(void**, void*, const char*)>("hipModuleGetFunction")(&kernel, module_, name), 0);
    Params params{in, out};
    void* parameters[] = {&params};
    using Launch = int(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
    EXPECT_EQ(function<Launch>("hipModuleLaunchKernel")(kernel, 1, 1, 1, kThreads, 1, 1, 0, stream_, parameters, nullptr), 0);
    return function<int(void*)>("hipStreamSynchronize")(stream_);
  }
  Words download(const unsigned* data) {
    Words words(kThreads);
    function<int(void*, const void*, std::size_t, void*)>("hipMemcpyDtoHAsync")(words.data(), data, kThreads * 4, stream_);
    return words;
  }
  static std::string text(int code) { return function<const char*(int)>("hipGetErrorString")(code); }

  void *module_ = nullptr, *stream_ = nullptr;
  unsigned *in_ = nullptr, *out_ = nullptr;
};

TEST_F(SimulatedCard, RunsWhatIsRight) {
  ASSERT_EQ(run("rotate", in_, out_), 0) << text(kLaunchFailure);
  const Words words = download(out_);
  for (std::size_t i = 0; i < kThreads; ++i) EXPECT_EQ(words[i], 1000 + (i + 33) % kThreads);
}

TEST_F(SimulatedCard, TellsAStoreBehindItsMemory) {
  EXPECT_EQ(run("off_by_one", in_, out_), kIllegalAddress);
  const std::string why = text(kIllegalAddress);
  for (const char* part : {"kernel off_by_one", "workgroup (0, 0, 0)", "wave 7", "global_store", "past the end of device memory of 1024 bytes"})
    EXPECT_NE(why.find(part), std::string::npos) << part << " in " << why;
}

TEST_F(SimulatedCard, TellsUseAfterFree) {
  unsigned* freed = allocate();
  EXPECT_EQ(function<int(void*)>("hipFree")(freed), 0);
  EXPECT_EQ(run("rotate", freed, out_), kIllegalAddress);
  EXPECT_NE(text(kIllegalAddress).find("freed"), std::string::npos);
}

TEST_F(SimulatedCard, TellsAMissingBarrier) {
  EXPECT_EQ(run("missing_barrier", in_, out_), kLaunchFailure);
  EXPECT_NE(text(kLaunchFailure).find("barrier"), std::string::npos);
}

TEST_F(SimulatedCard, TellsLdsThatNobodyWrote) {
  EXPECT_EQ(run("unwritten_lds", in_, out_), kLaunchFailure);
  EXPECT_NE(text(kLaunchFailure).find("LDS"), std::string::npos);
}

}  // namespace
}  // namespace isotope::emulated
