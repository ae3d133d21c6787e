// Devices without a card: opening by name, cards on paper. GpuDevice itself is tested in
// gpu_device_test.cc.
#include "device/device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "device/gpu.h"

namespace isotope::device {
namespace {

/// Sets a variable of the environment for a while; a null value unsets it.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~Variable() { set(old_ ? old_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) {
    if (value)
      ::setenv(name_, value, 1);
    else
      ::unsetenv(name_);
  }
  const char* name_;
  std::optional<std::string> old_;
};

/// The Error that `act` ends with.
template <typename Act>
Error error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::cancelled, "no error");
}

bool contains(const Error& error, std::string_view text) {
  return std::string_view(error.what()).find(text) != std::string_view::npos;
}

/// This machine as one without drivers, whatever it has.
struct NoDrivers {
  Variable cuda{"ISOTOPE_CUDA_LIBRARY", "/nonexistent/libcuda.so.1"};
  Variable hip{"ISOTOPE_HIP_LIBRARY", "/nonexistent/libamdhip64.so"};
};

TEST(OpenDevice, CpuIsAlwaysThere) {
  const auto device = open_device("cpu", 1);
  EXPECT_EQ(device->kind(), Kind::cpu);
}

TEST(OpenDevice, RefusesNamesThatAreNone) {
  for (const char* name : {"", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cudax",
                           "cuda0", "hip:", "hip: 1", "hip:99999999999999999999", "CUDA"}) {
    const Error error = error_of([&] { open_device(name); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << name << ": " << error.what();
    EXPECT_TRUE(contains(error, "expected auto, cpu, cuda[:N] or hip[:N]")) << error.what();
  }
}

TEST(OpenDevice, SaysWhichLibraryCannotBeLoadedAndWhy) {
  const NoDrivers nothing;
  Error error = error_of([] { open_device("cuda"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "ISOTOPE_CUDA_LIBRARY=/nonexistent/libcuda.so.1")) << error.what();
  EXPECT_TRUE(contains(error, "No such file")) << error.what();
  error = error_of([] { open_device("hip:1"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "ISOTOPE_HIP_LIBRARY=/nonexistent/libamdhip64.so")) << error.what();
}

TEST(OpenDevice, RefusesAFileThatIsNoLibrary) {
  const Variable cuda("ISOTOPE_CUDA_LIBRARY", "/proc/self/cmdline");
  const Error error = error_of([] { open_device("cuda"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "/proc/self/cmdline")) << error.what();
}

TEST(OpenDevice, RefusesALibraryThatIsNoDriver) {
  const Variable cuda("ISOTOPE_CUDA_LIBRARY", "libm.so.6");
  const Variable hip("ISOTOPE_HIP_LIBRARY", "libm.so.6");
  Error error = error_of([] { open_device("cuda"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "libm.so.6 has no cuInit")) << error.what();
  EXPECT_TRUE(contains(error, "update NVIDIA's driver")) << error.what();
  error = error_of([] { open_device("hip"); });
  EXPECT_TRUE(contains(error, "libm.so.6 has no hipInit")) << error.what();
  EXPECT_TRUE(contains(error, "ROCm 6.4")) << error.what();
}

TEST(OpenDevice, SaysWhatToInstallWhereNoDriverIs) {
  const Variable cuda("ISOTOPE_CUDA_LIBRARY", nullptr);
  const Variable hip("ISOTOPE_HIP_LIBRARY", "");  // empty is as good as unset
  for (const char* name : {"cuda", "hip"}) {
    try {
      open_device(name);
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::not_found || error.code() == ErrorCode::unsupported);
      EXPECT_TRUE(contains(error, "--device cpu")) << error.what();
    }  // a machine with the driver may well have a card
  }
}

TEST(OpenDevice, AutoFallsBackToTheCpu) {
  const NoDrivers nothing;
  const LogLevel level = log_level();
  set_log_level(LogLevel::off);
  const auto device = open_device("auto", 1);
  set_log_level(level);
  EXPECT_EQ(device->kind(), Kind::cpu);
}

TEST(PaperGpu, KnowsTheCards) {
  const auto amd = open_paper_gpu("gfx1201");
  EXPECT_EQ(amd->kind(), Kind::hip);
  EXPECT_EQ(amd->properties().arch, "gfx1201");
  EXPECT_EQ(amd->properties().multiprocessors, 32);
  EXPECT_EQ(amd->properties().shared_per_block, 64u << 10);
  EXPECT_EQ(amd->properties().shared_per_multiprocessor, 128u << 10);
  EXPECT_EQ(amd->properties().l2_bytes, 8u << 20);
  EXPECT_LE(amd->properties().memory_bytes, std::size_t(16) << 30);
  EXPECT_GT(amd->properties().memory_bytes, std::size_t(15) << 30);
  EXPECT_FALSE(amd->properties().overlapped_launch);

  for (const char* arch : {"sm_80", "sm_86", "sm_89", "sm_90a"}) {
    const auto card = open_paper_gpu(arch);
    EXPECT_EQ(card->kind(), Kind::cuda);
    EXPECT_EQ(card->properties().arch, arch);
    EXPECT_TRUE(card->properties().paper);
    EXPECT_EQ(card->properties().overlapped_launch, std::string_view(arch) == "sm_90a");
  }
  EXPECT_EQ(open_paper_gpu("sm_90a")->properties().shared_per_block, 227u << 10);

  const Error error = error_of([] { open_paper_gpu("sm_75"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_TRUE(contains(error, "sm_75")) << error.what();
  EXPECT_TRUE(contains(error, "gfx1201, sm_80, sm_86, sm_89, sm_90a")) << error.what();
}

TEST(PaperGpu, CountsMemory) {
  const auto gpu = open_paper_gpu("gfx1201", 1000);
  EXPECT_EQ(gpu->memory().total, 1000u);
  EXPECT_EQ(gpu->properties().memory_bytes, 1000u);
  EXPECT_EQ(gpu->allocate(0, "nothing").data(), nullptr);
  const Buffer first = gpu->allocate(600, "weights");
  EXPECT_NE(first.data(), nullptr);
  EXPECT_EQ(gpu->memory().available, 400u);
  {
    const Buffer second = gpu->allocate(400, "the cache");
    EXPECT_GE(second.as<char>(), first.as<char>() + first.size());
    EXPECT_EQ(gpu->memory().available, 0u);
    const Error error = error_of([&] { gpu->allocate(1, "one byte more"); });
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_TRUE(contains(error, "one byte more")) << error.what();
  }
  EXPECT_EQ(gpu->memory().available, 400u);
  std::set<void*> addresses;
  for (int i = 0; i < 50; ++i) {
    const Buffer buffer = gpu->allocate(7, "something small");
    EXPECT_TRUE(addresses.insert(buffer.data()).second) << "an address was given twice";
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
  }
}

TEST(PaperGpu, PinnedMemoryIsRealAndTakesNoneOfTheCard) {
  const auto gpu = open_paper_gpu("sm_90a", 1000);
  const Buffer buffer = gpu->allocate_pinned(10000, "the embedding table");
  EXPECT_EQ(buffer.as<char>()[9999], 0);
  std::memset(buffer.data(), 1, buffer.size());
  EXPECT_EQ(gpu->memory().available, 1000u);
}

TEST(PaperGpu, DropsWorkButNotQuestions) {
  const auto gpu = open_paper_gpu("sm_90a");
  const Buffer buffer = gpu->allocate(16, "a test");
  char bytes[16] = {};
  gpu->stream().copy_to_device(buffer.data(), bytes, sizeof(bytes));
  gpu->stream().fill(buffer.data(), 1, 16);
  gpu->stream().synchronize();
  const Error error = error_of([&] { gpu->stream().copy_to_host(bytes, buffer.data(), 16); });
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_NO_THROW(gpu->stream().copy_to_host(bytes, buffer.data(), 0));
}

TEST(PaperGpu, ChecksLaunches) {
  const auto gpu = open_paper_gpu("gfx1201");
  const auto module = gpu->load_module({}, "unit");
  const Kernel kernel = module->kernel("add");
  ASSERT_TRUE(kernel);
  EXPECT_EQ(module->kernel("add").handle, kernel.handle);
  EXPECT_NE(module->kernel("multiply").handle, kernel.handle);
  const int params = 0;
  Launch launch;
  launch.shared_bytes = 64 << 10;
  EXPECT_NO_THROW(gpu->launch(kernel, launch, &params, sizeof(params)));
  launch.shared_bytes += 1;
  const Error error = error_of([&] { gpu->launch(kernel, launch, &params, sizeof(params)); });
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_TRUE(contains(error, "unit/add: 65537 bytes of shared memory")) << error.what();
}

TEST(PaperGpu, CapturesByTheRules) {
  const auto gpu = open_paper_gpu("sm_80");
  EXPECT_THROW(gpu->end_capture(), Error);
  gpu->begin_capture();
  EXPECT_THROW(gpu->allocate(1, "memory inside a capture"), Error);
  EXPECT_THROW(gpu->stream().synchronize(), Error);
  EXPECT_THROW(gpu->begin_capture(), Error);
  const auto graph = gpu->end_capture();
  ASSERT_NE(graph, nullptr);
  EXPECT_NO_THROW(gpu->launch(*graph));
  EXPECT_NO_THROW(gpu->allocate(1, "memory after a capture"));
}

}  // namespace
}  // namespace isotope::device
