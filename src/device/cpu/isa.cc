#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "device/cpu/cpu_device.h"

namespace isotope::device {
namespace {

constexpr std::array kNames = {std::string_view("scalar"), std::string_view("avx2"),
                               std::string_view("avx512"), std::string_view("avx512_bf16"),
                               std::string_view("amx")};

/// Linux grants the 8 KiB of tile state only to processes that ask for it.
bool request_amx_permission() {
  constexpr long kArchRequestXcompPerm = 0x1023;
  constexpr long kXfeatureXtileData = 18;
  return ::syscall(SYS_arch_prctl, kArchRequestXcompPerm, kXfeatureXtileData) == 0;
}

bool cpu_has_amx_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d & (1u << 22)) && (d & (1u << 24));  // AMX-BF16, AMX-TILE
}

Isa best_isa() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c"))
    return Isa::scalar;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Isa::avx2;
  if (!__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512bf16"))
    return Isa::avx512;
  if (!cpu_has_amx_bf16() || !request_amx_permission()) return Isa::avx512_bf16;
  return Isa::amx;
}

}  // namespace

std::string_view name_of(Isa isa) { return kNames[std::size_t(isa)]; }

Isa detect_isa() {
  static const Isa best = best_isa();
  const char* wanted = std::getenv("ISOTOPE_CPU_ISA");
  if (!wanted || !*wanted) return best;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] != wanted) continue;
    if (Isa(i) > best)
      fail(ErrorCode::invalid_argument, "ISOTOPE_CPU_ISA={}: this CPU offers {} at most", wanted,
           name_of(best));
    return Isa(i);
  }
  fail(ErrorCode::invalid_argument,
       "ISOTOPE_CPU_ISA={}: expected scalar, avx2, avx512, avx512_bf16 or amx", wanted);
}

}  // namespace isotope::device
