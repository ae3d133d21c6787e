// What a card does without kernels: memory, copies, captured steps, events. Runs on the GPU that
// ISOTOPE_TEST_DEVICE names ("cuda", "hip:0"), real or emulated; skipped without it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "device/gpu.h"

namespace isotope::device {
namespace {

using Bytes = std::vector<unsigned char>;

class Card : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* name = std::getenv("ISOTOPE_TEST_DEVICE");
    if (!name) GTEST_SKIP() << "set ISOTOPE_TEST_DEVICE to cuda or hip";
    device_ = open_device(name);
    ASSERT_NE(device_->kind(), Kind::cpu);
    gpu_ = static_cast<Gpu*>(device_.get());
  }
  Gpu& gpu() { return *gpu_; }
  Bytes read(const void* source, std::size_t bytes) {
    Bytes host(bytes, 0x5a);
    gpu().stream().copy_to_host(host.data(), source, bytes);
    gpu().stream().synchronize();
    return host;
  }
  Bytes read(const Buffer& buffer) { return read(buffer.data(), buffer.size()); }

 private:
  std::unique_ptr<Device> device_;
  Gpu* gpu_ = nullptr;
};

Bytes counting(std::size_t bytes, unsigned char first = 1) {
  Bytes values(bytes);
  std::iota(values.begin(), values.end(), first);
  return values;
}

template <typename Act>
Error error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::cancelled, "no error");
}

TEST_F(Card, DescribesItself) {
  const GpuProperties& properties = gpu().properties();
  RecordProperty("device", gpu().name());
  EXPECT_FALSE(properties.name.empty());
  EXPECT_TRUE(properties.arch.starts_with(gpu().kind() == Kind::cuda ? "sm_" : "gfx12"))
      << properties.arch;
  EXPECT_EQ(properties.arch.find(':'), std::string::npos) << properties.arch;
  EXPECT_GT(properties.multiprocessors, 0);
  EXPECT_GE(properties.shared_per_block, 64u << 10);
  EXPECT_GE(properties.shared_per_multiprocessor, properties.shared_per_block);
  EXPECT_GE(properties.l2_bytes, 1u << 20);
  EXPECT_FALSE(properties.paper);
  EXPECT_EQ(properties.overlapped_launch,
            gpu().kind() == Kind::cuda && std::stoi(properties.arch.substr(3)) >= 90);
  EXPECT_GT(properties.memory_bytes, std::size_t(1) << 30);
  const MemoryInfo memory = gpu().memory();
  EXPECT_GT(memory.available, 0u);
  EXPECT_LE(memory.available, memory.total);
}

TEST_F(Card, MemoryIsAlignedAndZeroedThoughItWasUsedBefore) {
  for (const std::size_t bytes :
       {std::size_t(1), std::size_t(63), std::size_t(4097), std::size_t(3) << 20}) {
    for (int round = 0; round < 2; ++round) {
      const Buffer buffer = gpu().allocate(bytes, "a test");
      EXPECT_EQ(buffer.size(), bytes);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
      EXPECT_EQ(read(buffer), Bytes(bytes, 0));
      gpu().stream().fill(buffer.data(), 0xff, bytes);
    }
  }
}

TEST_F(Card, CopiesAndFillsAtOddPlaces) {
  const std::size_t bytes = 1021;
  const Buffer buffer = gpu().allocate(bytes, "a test");
  Bytes expected(bytes, 0);
  const Bytes values = counting(500);
  gpu().stream().copy_to_device(buffer.as<char>() + 3, values.data(), values.size());
  std::copy(values.begin(), values.end(), expected.begin() + 3);
  gpu().stream().fill(buffer.as<char>() + 101, 0xab, 7);
  std::fill_n(expected.begin() + 101, 7, 0xab);
  EXPECT_EQ(read(buffer), expected);
  EXPECT_EQ(read(buffer.as<char>() + 99, 11), Bytes(expected.begin() + 99, expected.begin() + 110));
}

TEST_F(Card, PinnedMemoryIsTheHostsAndCanBeCopied) {
  Buffer pinned = gpu().allocate_pinned(777, "a test");
  const std::span<unsigned char> bytes(pinned.as<unsigned char>(), pinned.size());
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) { return c == 0; }));
  const Bytes values = counting(777);
  std::copy(values.begin(), values.end(), bytes.begin());
  const Buffer memory = gpu().allocate(777, "a test");
  gpu().stream().copy_to_device(memory.data(), pinned.data(), 777);
  EXPECT_EQ(read(memory), values);
  gpu().stream().fill(memory.data(), 9, 777);
  gpu().stream().copy_to_host(pinned.data(), memory.data(), 777);
  gpu().stream().synchronize();
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) { return c == 9; }));
}

TEST_F(Card, ReplaysACapturedStep) {
  const std::size_t bytes = 64;
  const Buffer memory = gpu().allocate(bytes, "a test");
  const Buffer input = gpu().allocate_pinned(bytes, "a test"),
               output = gpu().allocate_pinned(bytes, "a test");
  gpu().stream().synchronize();
  gpu().begin_capture();
  gpu().stream().copy_to_device(memory.data(), input.data(), bytes);
  gpu().stream().fill(memory.as<char>() + 8, 0xee, 4);
  gpu().stream().copy_to_host(output.data(), memory.data(), bytes);
  const auto graph = gpu().end_capture();
  EXPECT_EQ(read(memory), Bytes(bytes, 0)) << "a captured step was carried out";

  for (unsigned char round = 1; round <= 3; ++round) {
    Bytes expected = counting(bytes, round);
    std::copy(expected.begin(), expected.end(), input.as<unsigned char>());
    std::fill_n(expected.begin() + 8, 4, 0xee);
    gpu().launch(*graph);
    gpu().stream().synchronize();
    EXPECT_EQ(Bytes(output.as<unsigned char>(), output.as<unsigned char>() + bytes), expected);
    EXPECT_EQ(read(memory), expected);
  }
}

TEST_F(Card, KeepsItsCaptureWhenSomethingIsRefusedInside) {
  const Buffer memory = gpu().allocate(16, "a test");
  Buffer other = gpu().allocate(16, "a test"), pinned = gpu().allocate_pinned(16, "a test");
  gpu().stream().synchronize();
  gpu().begin_capture();
  gpu().stream().fill(memory.data(), 1, 8);
  EXPECT_EQ(error_of([&] { gpu().allocate(16, "a test"); }).code(), ErrorCode::internal);
  EXPECT_EQ(error_of([&] { gpu().stream().synchronize(); }).code(), ErrorCode::internal);
  other = Buffer();
  pinned = Buffer();
  gpu().stream().fill(memory.as<char>() + 8, 2, 8);
  const auto graph = gpu().end_capture();
  gpu().launch(*graph);
  Bytes expected(16, 1);
  std::fill_n(expected.begin() + 8, 8, 2);
  EXPECT_EQ(read(memory), expected);
}

TEST_F(Card, ManyGraphsLiveTogether) {
  const Buffer memory = gpu().allocate(16, "a test");
  gpu().stream().synchronize();
  std::vector<std::unique_ptr<Graph>> graphs;
  for (int i = 0; i < 12; ++i) {
    gpu().begin_capture();
    gpu().stream().fill(memory.data(), std::uint8_t(i), 16);
    graphs.push_back(gpu().end_capture());
  }
  for (const int i : {3, 11, 0, 7}) {
    gpu().launch(*graphs[std::size_t(i)]);
    EXPECT_EQ(read(memory), Bytes(16, static_cast<unsigned char>(i)));
  }
}

TEST_F(Card, TimesItself) {
  const Buffer memory = gpu().allocate(8 << 20, "a test");
  const auto begin = gpu().create_event(), end = gpu().create_event();
  EXPECT_EQ(error_of([&] { gpu().elapsed_ms(*begin, *end); }).code(), ErrorCode::internal);
  gpu().record(*begin);
  gpu().stream().fill(memory.data(), 1, memory.size());
  gpu().record(*end);
  const float ms = gpu().elapsed_ms(*begin, *end);
  EXPECT_GE(ms, 0.0f);
  EXPECT_LT(ms, 60'000.0f);
}

TEST_F(Card, SaysWhatDidNotFitAndGoesOn) {
  const std::size_t bytes = 2 * gpu().memory().total;
  const Error error = error_of([&] { gpu().allocate(bytes, "twice the card"); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
  EXPECT_NE(std::string(error.what()).find("twice the card"), std::string::npos) << error.what();
  const Buffer buffer = gpu().allocate(16, "a test");
  EXPECT_EQ(read(buffer), Bytes(16, 0));
}

TEST_F(Card, RefusesCodeThatIsNone) {
  const std::vector<std::byte> code(256, std::byte{0});
  const Error error = error_of([&] { gpu().load_module(code, "nothing"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.what();
  EXPECT_NE(std::string(error.what()).find("nothing"), std::string::npos) << error.what();
}

TEST_F(Card, WorksFromAnotherThreadAndBesideAnotherDevice) {
  const Buffer memory = gpu().allocate(16, "a test");
  std::thread([&] {
    gpu().stream().fill(memory.data(), 1, 8);
    gpu().stream().synchronize();
  }).join();
  {
    const auto other = open_device(std::getenv("ISOTOPE_TEST_DEVICE"));
    const Buffer theirs = other->allocate(16, "a test");
    other->stream().fill(theirs.data(), 2, 16);
    other->stream().synchronize();
    gpu().stream().fill(memory.as<char>() + 8, 3, 8);
  }
  Bytes expected(16, 1);
  std::fill_n(expected.begin() + 8, 8, 3);
  EXPECT_EQ(read(memory), expected);
}

TEST_F(Card, NumbersBeyondTheLastCardAreRefused) {
  const std::string name = std::string(name_of(gpu().kind())) + ":4711";
  const Error error = error_of([&] { open_device(name); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
  EXPECT_NE(std::string(error.what()).find(gpu().properties().name), std::string::npos)
      << error.what();
}

}  // namespace
}  // namespace isotope::device
