// The CPU as a device: huge-page memory, a thread pool, and the instruction set found at run time.
#pragma once

#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "device/device.h"

namespace isotope::device {

/// Instruction sets that the fast CPU kernels are written for; each includes those before it.
enum class Isa {
  scalar,       ///< baseline x86-64: the oracle forms run
  avx2,         ///< AVX2, FMA, F16C
  avx512,       ///< AVX-512 F, BW, DQ, VL
  avx512_bf16,  ///< … and VBMI and the BF16 dot product (Zen 4, Sapphire Rapids)
  amx,          ///< … and AMX tiles with BF16, enabled for this process
};
std::string_view name_of(Isa isa);

/// The best that this CPU and kernel offer, or what ISOTOPE_CPU_ISA names if that is less.
/// Errors: invalid_argument if ISOTOPE_CPU_ISA is unknown or more than the CPU has.
Isa detect_isa();

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads = 0);
  CpuDevice(int threads, Isa isa);
  ~CpuDevice() override;

  Kind kind() const override { return Kind::cpu; }
  std::string name() const override;
  MemoryInfo memory() const override;
  Buffer allocate(std::size_t bytes, std::string_view what) override;
  Stream& stream() override;

  ThreadPool& pool() { return pool_; }
  Isa isa() const { return isa_; }

 private:
  void release(void* data, std::size_t bytes) noexcept override;

  ThreadPool pool_;
  Isa isa_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace isotope::device
