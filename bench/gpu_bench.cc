#include "bench/gpu_bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <random>

#include "base/checked.h"
#include "device/device.h"

namespace isotope::bench {
namespace {

constexpr std::size_t kPatternBytes = std::size_t(4) << 20;

}  // namespace

std::vector<std::byte> normal_noise(DType dtype, float sigma) {
  std::vector<std::byte> bytes(kPatternBytes);
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, sigma);
  const std::size_t size = size_of(dtype);
  for (std::size_t i = 0; i < bytes.size(); i += size) {
    const float value = normal(random);
    const bfloat16 half = to_bfloat16(value);
    const float8_e4m3 code = to_float8_e4m3(value);
    std::memcpy(&bytes[i],
                dtype == DType::f32    ? static_cast<const void*>(&value)
                : dtype == DType::bf16 ? static_cast<const void*>(&half)
                                       : static_cast<const void*>(&code),
                size);
  }
  return bytes;
}

std::vector<std::byte> code_noise() {
  std::vector<std::byte> bytes(kPatternBytes);
  std::minstd_rand random(1);
  for (std::byte& byte : bytes) byte = std::byte(random() >> 8) & std::byte(0xbf);
  return bytes;
}

void fill(device::Gpu& gpu, void* data, std::size_t bytes, const std::vector<std::byte>& pattern) {
  for (std::size_t at = 0; at < bytes; at += pattern.size())
    gpu.stream().copy_to_device(static_cast<std::byte*>(data) + at, pattern.data(),
                                std::min(pattern.size(), bytes - at));
  gpu.stream().synchronize();
}

double median_us(device::Gpu& gpu, int runs, const std::function<void()>& work) {
  const auto begin = gpu.create_event(), end = gpu.create_event();
  std::vector<double> times;
  for (int run = 0; run < runs + 1; ++run) {
    gpu.record(*begin);
    work();
    gpu.record(*end);
    const double us = double(gpu.elapsed_ms(*begin, *end)) * 1e3;
    if (run > 0) times.push_back(us);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

double median_us_of_graph(device::Gpu& gpu, int runs, const std::function<void()>& work) {
  work();
  gpu.stream().synchronize();
  gpu.begin_capture();
  work();
  const auto graph = gpu.end_capture();
  return median_us(gpu, runs, [&] { gpu.launch(*graph); });
}

std::vector<std::int64_t> counts_from(int argc, char** argv, int first,
                                      std::vector<std::int64_t> usual) {
  if (argc <= first) return usual;
  std::vector<std::int64_t> counts;
  for (int i = first; i < argc; ++i)
    counts.push_back(std::max<std::int64_t>(1, std::atoll(argv[i])));
  return counts;
}

int run_on_gpu(const std::string& name, const std::function<void(device::Gpu&)>& body) {
  try {
    const std::unique_ptr<device::Device> device = device::open_device(name);
    if (device->kind() == device::Kind::cpu)
      fail(ErrorCode::invalid_argument, "'{}' is no GPU", name);
    body(static_cast<device::Gpu&>(*device));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

}  // namespace isotope::bench
