// The fake drivers: memory with bounds, streams that work late, captures; and both faces through
// their own symbols.
#include <dlfcn.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/gpu/emulated_device.h"
#include "tests/gpu/emulation_testing.h"

namespace isotope::emulated::testing {
namespace {

class Device : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(create_stream(&stream_), kOk);
    const Compiled made = compile_file(kKernels, {kVendors[0]});
    ASSERT_TRUE(made.ok) << made.log;
    ASSERT_EQ(load_module(&module_, made.code.data()), kOk);
    ASSERT_EQ(find_function(&rotate_, module_, "rotate"), kOk);
  }
  void TearDown() override {
    EXPECT_EQ(unload_module(module_), kOk);
    EXPECT_EQ(destroy_stream(stream_), kOk);
    EXPECT_EQ(memory_free(), memory_total());
  }
  std::uint32_t* device_words(std::size_t count) {
    void* data = nullptr;
    EXPECT_EQ(allocate(&data, count * 4, false), kOk);
    return static_cast<std::uint32_t*>(data);
  }
  /// Passes the words of `in` on by `rounds` places.
  int rotate(const std::uint32_t* in, std::uint32_t* out, unsigned threads, int rounds) {
    const Params params{in, nullptr, out, nullptr, nullptr, rounds, 0};
    return launch(rotate_, {{1, 1, 1}, threads, 0}, &params, 49152, stream_);
  }
  Words download(const std::uint32_t* data, std::size_t count) {
    Words words(count);
    EXPECT_EQ(copy_to_host(words.data(), data, count * 4, stream_), kOk);
    return words;
  }
  void *stream_ = nullptr, *module_ = nullptr, *rotate_ = nullptr;
};

TEST_F(Device, CopiesRunsAndCopiesBack) {
  std::uint32_t *in = device_words(64), *out = device_words(64);
  EXPECT_EQ(memory_free(), memory_total() - 512);
  Words words(64);
  for (unsigned i = 0; i < 64; ++i) words[i] = i;
  EXPECT_EQ(download(in, 64)[3], ~0u);
  EXPECT_EQ(copy_to_device(in, words.data(), 256, stream_), kOk);
  words.assign(64, 77);  // ordinary memory was read already
  EXPECT_EQ(rotate(in, out, 64, 3), kOk);
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(download(out, 64)[i], (i + 3) % 64);
  EXPECT_EQ(copy_on_device(in, out, 128, stream_), kOk);
  EXPECT_EQ(fill(in + 32, 0x11, 128, stream_), kOk);
  EXPECT_EQ(download(in, 64)[31], 34u);
  EXPECT_EQ(download(in, 64)[32], 0x11111111u);
  EXPECT_EQ(free_memory(in, false), kOk);
  EXPECT_EQ(free_memory(out, false), kOk);
}

TEST_F(Device, ReadsPinnedMemoryLate) {
  void* pinned = nullptr;
  ASSERT_EQ(allocate(&pinned, 256, true), kOk);
  std::uint32_t* data = device_words(64);
  auto* words = static_cast<std::uint32_t*>(pinned);
  words[0] = 1;
  EXPECT_EQ(copy_to_device(data, words, 256, stream_), kOk);
  words[0] = 2;  // too early: the copy was not waited for
  EXPECT_EQ(synchronize(stream_), kOk);
  EXPECT_EQ(download(data, 1)[0], 2u);
  EXPECT_EQ(copy_to_device(data, words + 60, 20, stream_), kInvalidValue);
  EXPECT_EQ(free_memory(pinned, false), kInvalidValue);
  EXPECT_EQ(free_memory(pinned, true), kOk);
  EXPECT_EQ(free_memory(data, false), kOk);
}

TEST_F(Device, KnowsTheBoundsOfMemory) {
  std::uint32_t* data = device_words(60);  // 240 bytes of a line of 256
  Words words(100);
  EXPECT_EQ(copy_to_device(data, words.data(), 240, stream_), kOk);
  EXPECT_EQ(copy_to_device(data, words.data(), 241, stream_), kInvalidValue);
  EXPECT_NE(std::string(code_text(kInvalidValue)).find("byte 0 of an allocation of 240 bytes"),
            std::string::npos);
  EXPECT_EQ(copy_to_device(data + 1, words.data(), 240, stream_), kInvalidValue);
  EXPECT_EQ(copy_to_host(words.data(), data - 1, 4, stream_), kInvalidValue);
  EXPECT_EQ(copy_on_device(data, words.data(), 4, stream_), kInvalidValue);
  EXPECT_EQ(fill(data, 0, 244, stream_), kInvalidValue);
  EXPECT_EQ(free_memory(data + 1, false), kInvalidValue);
  void* none = nullptr;
  EXPECT_EQ(allocate(&none, memory_total() - 255, false), kOutOfMemory);
  EXPECT_EQ(none, nullptr);
  data[60] = 1;  // as a kernel might
  EXPECT_EQ(free_memory(data, false), kInvalidValue);
  EXPECT_NE(std::string(code_text(kInvalidValue)).find("written beside"), std::string::npos);
  EXPECT_EQ(free_memory(data, false), kInvalidValue);
}

TEST_F(Device, FillsLargeMemory) {
  constexpr std::size_t kWords = std::size_t(10) << 20;
  std::uint32_t* data = device_words(kWords);
  for (std::uint8_t value : {std::uint8_t(0x22), std::uint8_t(0)}) {
    EXPECT_EQ(fill(data, 0x11, kWords * 4, stream_), kOk);
    EXPECT_EQ(fill(data + 3, value, (kWords - 8) * 4, stream_), kOk);
    const Words words = download(data, kWords);
    for (std::size_t i = 0; i < kWords; ++i)
      ASSERT_EQ(words[i], (i < 3 || i >= kWords - 5 ? 0x11 : value) * 0x01010101u) << i;
  }
  EXPECT_EQ(free_memory(data, false), kOk);
}

TEST_F(Device, TellsWildAddresses) {
  std::uint32_t *in = device_words(64), *out = device_words(64);
  EXPECT_EQ(rotate(in + 64, out, 64, 1), kOk);
  EXPECT_EQ(synchronize(stream_), kIllegalAddress);
  EXPECT_NE(std::string(code_text(kIllegalAddress)).find("byte 256 of an allocation of 256 bytes"),
            std::string::npos);
  EXPECT_EQ(free_memory(in, false), kOk);
  EXPECT_EQ(rotate(in, out, 64, 1), kOk);
  EXPECT_EQ(synchronize(stream_), kIllegalAddress);
  EXPECT_NE(std::string(code_text(kIllegalAddress)).find("of a freed allocation"),
            std::string::npos);
  EXPECT_EQ(synchronize(stream_), kOk);
  EXPECT_EQ(free_memory(out, false), kOk);
}

TEST_F(Device, RefusesImpossibleLaunches) {
  const Params params{};
  const auto code = [&](const LaunchShape& shape) {
    return launch(rotate_, shape, &params, 49152, stream_);
  };
  EXPECT_EQ(code({{1, 1, 1}, 0, 0}), kInvalidValue);
  EXPECT_EQ(code({{1, 1, 1}, 1025, 0}), kInvalidValue);
  EXPECT_EQ(code({{0, 1, 1}, 32, 0}), kInvalidValue);
  EXPECT_EQ(code({{1, 65536, 1}, 32, 0}), kInvalidValue);
  EXPECT_EQ(code({{1, 1, 1}, 32, 49153}), kInvalidValue);
  EXPECT_EQ(allow_shared(rotate_, 166913, 166912), kInvalidValue);
  EXPECT_EQ(launch(stream_, {}, &params, 49152, stream_), kInvalidHandle);
  EXPECT_EQ(launch(rotate_, {}, &params, 49152, rotate_), kInvalidHandle);
  EXPECT_EQ(launch(rotate_, {}, nullptr, 49152, stream_), kInvalidValue);
  void* none = nullptr;
  EXPECT_EQ(find_function(&none, module_, "nothing"), kNotFound);
  EXPECT_EQ(load_module(&none, "no code at all"), kInvalidImage);
}

TEST_F(Device, CapturesAndReplays) {
  std::uint32_t *a = device_words(32), *b = device_words(32);
  Words words(32);
  for (unsigned i = 0; i < 32; ++i) words[i] = i;
  ASSERT_EQ(begin_capture(stream_, 1), kOk);
  EXPECT_EQ(begin_capture(stream_, 1), kIllegalState);
  EXPECT_EQ(copy_to_device(a, words.data(), 128, stream_), kOk);
  EXPECT_EQ(rotate(a, b, 32, 1), kOk);
  EXPECT_EQ(rotate(b, a, 32, 1), kOk);
  void *graph = nullptr, *executable = nullptr;
  ASSERT_EQ(end_capture(stream_, &graph), kOk);
  EXPECT_EQ(download(a, 32)[0], ~0u);  // recorded, not done
  ASSERT_EQ(instantiate(&executable, graph), kOk);
  EXPECT_EQ(destroy_graph(graph), kOk);
  for (std::uint32_t start : {5u, 9u}) {
    for (unsigned i = 0; i < 32; ++i) words[i] = (i + start) % 32;  // read at each replay
    EXPECT_EQ(launch_graph(executable, stream_), kOk);
    EXPECT_EQ(download(a, 32)[0], start + 2);
  }
  EXPECT_EQ(launch_graph(executable, stream_), kOk);
  EXPECT_EQ(destroy_executable(executable), kOk);  // what is queued lives on
  EXPECT_EQ(synchronize(stream_), kOk);
  EXPECT_EQ(launch_graph(executable, stream_), kInvalidHandle);
  EXPECT_EQ(free_memory(a, false), kOk);
  EXPECT_EQ(free_memory(b, false), kOk);
}

TEST_F(Device, SpoilsACaptureThatWaitsOrAllocates) {
  void *graph = nullptr, *data = nullptr;
  const std::function<int()> forbidden[] = {[&] { return synchronize(stream_); },
                                            [&] { return allocate(&data, 16, false); },
                                            [&] { return allocate(&data, 16, true); }};
  for (const auto& call : forbidden) {
    ASSERT_EQ(begin_capture(stream_, 1), kOk);
    EXPECT_EQ(call(), kCaptureUnsupported);
    EXPECT_EQ(end_capture(stream_, &graph), kCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
  }
  // Another thread may allocate while this one captures.
  ASSERT_EQ(begin_capture(stream_, 1), kOk);
  std::thread([&] { EXPECT_EQ(allocate(&data, 16, false), kOk); }).join();
  ASSERT_EQ(end_capture(stream_, &graph), kOk);
  EXPECT_EQ(end_capture(stream_, &graph), kIllegalState);
  EXPECT_EQ(destroy_graph(graph), kOk);
  EXPECT_EQ(free_memory(data, false), kOk);
}

TEST_F(Device, MeasuresTimeBetweenEvents) {
  std::uint32_t* data = device_words(256);
  void *begin = nullptr, *end = nullptr;
  ASSERT_EQ(create_event(&begin), kOk);
  ASSERT_EQ(create_event(&end), kOk);
  float ms = -1;
  EXPECT_EQ(elapsed_ms(&ms, begin, end), kInvalidHandle);
  EXPECT_EQ(record_event(begin, stream_), kOk);
  EXPECT_EQ(rotate(data, data, 256, 20), kOk);
  EXPECT_EQ(record_event(end, stream_), kOk);
  EXPECT_EQ(elapsed_ms(&ms, begin, end), kNotReady);
  EXPECT_EQ(wait_event(end), kOk);
  EXPECT_EQ(elapsed_ms(&ms, begin, end), kOk);
  EXPECT_GT(ms, 0.0f);
  EXPECT_EQ(destroy_event(begin), kOk);
  EXPECT_EQ(destroy_event(end), kOk);
  EXPECT_EQ(wait_event(end), kInvalidHandle);
  EXPECT_EQ(free_memory(data, false), kOk);
}

// Both faces, called as the program calls them.
class Library {
 public:
  explicit Library(const std::string& face)
      : handle_(dlopen((EMULATED_LIBRARIES "/libisotope_emulated_" + face + ".so").c_str(),
                       RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) throw std::runtime_error(dlerror());
  }
  template <typename... Arguments>
  int operator()(const char* name, Arguments... arguments) const {
    auto* function = reinterpret_cast<int (*)(Arguments...)>(dlsym(handle_, name));
    if (!function) throw std::runtime_error(std::string("no ") + name);
    return function(arguments...);
  }

 private:
  void* handle_;
};

std::string source_file(const std::string& name) {
  std::ifstream file(std::string(ISOTOPE_SOURCE_ROOT "/") + name);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Compiles the test kernels through NVRTC's or hipRTC's functions.
std::string compile_through(const Library& rtc, const std::string& prefix, const std::string& code,
                            const char* define) {
  const std::string names[] = {"ops/gpu/portable.cuh", "ops/gpu/arch_sm.cuh",
                               "ops/gpu/arch_gfx12.cuh"};
  std::vector<std::string> texts;
  std::vector<const char*> text_pointers, name_pointers;
  for (const std::string& name : names)
    texts.push_back(source_file("src/" + name)), name_pointers.push_back(name.c_str());
  for (const std::string& text : texts) text_pointers.push_back(text.c_str());
  const std::string main = source_file(kKernels);
  void* program = nullptr;
  const auto call = [&](const std::string& name, auto... arguments) {
    return rtc((prefix + name).c_str(), arguments...);
  };
  EXPECT_EQ(call("CreateProgram", &program, main.c_str(), "kernels.cu", 3, text_pointers.data(),
                 name_pointers.data()),
            0);
  const char* options[] = {"--gpu-architecture=sm_80", "-std=c++17", define};
  EXPECT_EQ(call("CompileProgram", program, 3, static_cast<const char* const*>(options)), 0);
  std::size_t bytes = 0;
  EXPECT_EQ(call("Get" + code + "Size", program, &bytes), 0);
  std::string result(bytes, '\0');
  EXPECT_EQ(call("Get" + code, program, result.data()), 0);
  EXPECT_EQ(call("DestroyProgram", &program), 0);
  return result;
}

TEST(Faces, CudaFromTextToResult) {
  const Library cuda("cuda"), nvrtc("nvrtc");
  const std::string code = compile_through(nvrtc, "nvrtc", "CUBIN", "-DISOTOPE_SM=80");
  unsigned long long data = 0;
  void *context = nullptr, *stream = nullptr, *module = nullptr, *function = nullptr;
  ASSERT_EQ(cuda("cuInit", 0u), 0);
  EXPECT_EQ(cuda("cuMemAlloc_v2", &data, std::size_t(256)), int(kInvalidContext));
  ASSERT_EQ(cuda("cuDevicePrimaryCtxRetain", &context, 0), 0);
  ASSERT_EQ(cuda("cuCtxSetCurrent", context), 0);
  ASSERT_EQ(cuda("cuMemAlloc_v2", &data, std::size_t(256)), 0);
  ASSERT_EQ(cuda("cuStreamCreate", &stream, 1u), 0);
  ASSERT_EQ(cuda("cuModuleLoadData", &module, static_cast<const void*>(code.data())), 0);
  ASSERT_EQ(cuda("cuModuleGetFunction", &function, module, "places"), 0);
  struct Config {  // CUlaunchConfig
    unsigned grid[3], block[3], shared_bytes;
    void *stream, *attributes;
    unsigned attribute_count;
  } config = {{1, 1, 1}, {32, 1, 1}, 0, stream, nullptr, 0};
  auto* words = reinterpret_cast<std::uint32_t*>(data);
  ASSERT_EQ(cuda("cuMemsetD8Async", data, static_cast<unsigned char>(0), std::size_t(256), stream),
            0);
  Params params{nullptr, nullptr, words, words + 32, words + 32, 0, 0};
  params.out3 = words + 32;
  void* parameters[] = {&params};
  void** no_extra = nullptr;
  EXPECT_EQ(cuda("cuLaunchKernelEx", &config, function, static_cast<void**>(parameters), no_extra),
            0);
  params = {};  // copied by the launch
  Words out(32);
  EXPECT_EQ(
      cuda("cuMemcpyDtoHAsync_v2", static_cast<void*>(out.data()), data, std::size_t(128), stream),
      0);
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(out[i], i);
  config.shared_bytes = 64 * 1024;
  params = Params{nullptr, nullptr, words, words + 32, words + 32, 0, 0};
  EXPECT_EQ(cuda("cuLaunchKernelEx", &config, function, static_cast<void**>(parameters), no_extra),
            int(kInvalidValue));
  EXPECT_EQ(cuda("cuFuncSetAttribute", function, 8, 64 * 1024), 0);
  EXPECT_EQ(cuda("cuLaunchKernelEx", &config, function, static_cast<void**>(parameters), no_extra),
            0);
  EXPECT_EQ(cuda("cuStreamSynchronize", stream), 0);
  EXPECT_EQ(cuda("cuModuleUnload", module), 0);
  EXPECT_EQ(cuda("cuStreamDestroy_v2", stream), 0);
  EXPECT_EQ(cuda("cuMemFree_v2", data), 0);
  std::thread([&] {
    EXPECT_EQ(cuda("cuMemAlloc_v2", &data, std::size_t(256)), int(kInvalidContext));
  }).join();
  EXPECT_EQ(cuda("cuDevicePrimaryCtxRelease_v2", 0), 0);
}

TEST(Faces, HipFromTextToResult) {
  const Library hip("hip"), hiprtc("hiprtc");
  const std::string code = compile_through(hiprtc, "hiprtc", "Code", "-DISOTOPE_GFX12=1");
  void *data = nullptr, *stream = nullptr, *module = nullptr, *function = nullptr;
  ASSERT_EQ(hip("hipMalloc", &data, std::size_t(256)), 0);
  ASSERT_EQ(hip("hipStreamCreateWithFlags", &stream, 1u), 0);
  ASSERT_EQ(hip("hipModuleLoadData", &module, static_cast<const void*>(code.data())), 0);
  ASSERT_EQ(hip("hipModuleGetFunction", &function, module, "places"), 0);
  auto* words = static_cast<std::uint32_t*>(data);
  ASSERT_EQ(hip("hipMemsetD8Async", data, static_cast<unsigned char>(0), std::size_t(256), stream),
            0);
  Params params{nullptr, nullptr, words, words + 32, words + 32, 0, 0};
  void* parameters[] = {&params};
  void** no_extra = nullptr;
  EXPECT_EQ(hip("hipModuleLaunchKernel", function, 1u, 1u, 1u, 32u, 1u, 1u, 65536u, stream,
                static_cast<void**>(parameters), no_extra),
            0);
  EXPECT_EQ(hip("hipModuleLaunchKernel", function, 1u, 1u, 1u, 32u, 1u, 1u, 65537u, stream,
                static_cast<void**>(parameters), no_extra),
            int(kInvalidValue));
  Words out(32);
  EXPECT_EQ(
      hip("hipMemcpyDtoHAsync", static_cast<void*>(out.data()), data, std::size_t(128), stream), 0);
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(out[i], i);
  EXPECT_EQ(hip("hipModuleUnload", module), 0);
  EXPECT_EQ(hip("hipStreamDestroy", stream), 0);
  EXPECT_EQ(hip("hipFree", data), 0);
}

}  // namespace
}  // namespace isotope::emulated::testing
