#include <gtest/gtest.h>

#include "base/error.h"
#include "jit/inspect/elf.h"
#include "jit/inspect/kernel_facts.h"
#include "jit/inspect/msgpack.h"
#include "jit/rtc.h"

namespace isotope::jit {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(MessagePack, ReadsWhatMetadataHas) {
  using namespace std::string_view_literals;
  const auto bytes = bytes_of(
      "\x84\xa1"
      "a\xcd\x01\x02\xa1"
      "b\x92\xff\xc3\xa1"
      "c\xd9\x03xyz\xa1"
      "d\xcb\x3f\xf0\0\0\0\0\0\0"sv);
  const json::value value = parse_msgpack(bytes, "test");
  EXPECT_EQ(value.at("a").as_int64(), 0x102);
  EXPECT_EQ(value.at("b").at(0).as_int64(), -1);
  EXPECT_TRUE(value.at("b").at(1).as_bool());
  EXPECT_EQ(value.at("c").as_string(), "xyz");
  EXPECT_EQ(value.at("d").as_double(), 1.0);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(parse_msgpack(std::span(bytes).first(size), "test"), Error) << size;
  EXPECT_THROW(parse_msgpack(bytes_of(std::string(100, '\x91')), "test"), Error)
      << "nested without end";
  EXPECT_THROW(parse_msgpack(bytes_of("\xc1"), "test"), Error);
}

TEST(Elf, RefusesWhatIsCutOffOrSomethingElse) {
  EXPECT_THROW(read_elf(bytes_of("MZ and so on"), "test"), Error);
  EXPECT_THROW(read_elf({}, "test"), Error);
  std::string header(
      "\x7f"
      "ELF\x02\x01",
      6);
  header.resize(64, '\0');
  EXPECT_TRUE(read_elf(bytes_of(header), "test").empty());
  header[40] = 1, header[60] = 1;  // one section, beyond the end
  EXPECT_THROW(read_elf(bytes_of(header), "test"), Error);
}

const char* const kGfxText = R"(
0000000000001900 <k>:
	v_mov_b32_e32 v0, 0                                        // 000000001900: 7E000280
	global_load_b128 v[1:4], v[5:6], off th:TH_LOAD_NT         // 000000001908: EE05C07C 0010000D
	global_load_d16_hi_b16 v1, v[5:6], off                     // 000000001910: EE04807C 00000021
	v_wmma_f32_16x16x16_fp8_fp8 v[1:8], v[13:14], v[37:38], v[1:8]// 000000001918: CC46406C 1A024B0D
	s_cbranch_scc1 65520                                       // 000000001920: BFA2FFF0 <k+0x8>
	v_wmma_f32_16x16x16_bf16 v[1:8], v[9:12], v[13:16], v[1:8] // 000000001924: CC41406C
	scratch_load_b32 v1, off, off                              // 000000001928: ED05007C
	s_cbranch_vccnz 65520                                      // 00000000192C: BFA4FFF0 <k+0x4>
	s_endpgm                                                   // 000000001930: BFB00000
0000000000002000 <other>:
	s_endpgm                                                   // 000000002000: BFB00000
)";

TEST(Disassemblies, OfGfxCode) {
  const Disassembly kernels = parse_gfx(kGfxText);
  ASSERT_EQ(kernels.size(), 2u);
  const auto& code = kernels.at("k");
  ASSERT_EQ(code.size(), 9u);
  const CodeCounts counts = count(code);
  EXPECT_EQ(counts.loads, (std::map<int, int>{{2, 1}, {16, 1}}));
  EXPECT_EQ(counts.streamed, (std::map<int, int>{{16, 1}}));
  EXPECT_EQ(counts.matrix, (std::map<std::string, int>{{"bf16", 1}, {"fp8", 1}}));
  EXPECT_EQ(counts.local, 1);
  const std::vector<Loop> loops = find_loops(code);
  ASSERT_EQ(loops.size(), 1u) << "two ways back to one instruction: the one at or after 0x1904";
  EXPECT_EQ(loops[0].first, 0x1908u);
  EXPECT_EQ(loops[0].own.matrix, counts.matrix);
  EXPECT_EQ(code[4].target, 0x1908u);
}

TEST(Disassemblies, OfSass) {
  const Disassembly kernels = parse_sass(R"(
		Function : k
	.headerflags	@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                /* 0x00000a00ff017b82 */
                                                                         /* 0x000e300000000800 */
        /*0010*/               @P0 LDG.E.NA.LTC128B.128.CONSTANT R24, desc[UR6][R6.64+0x4000] ; /* 0x1 */
        /*0020*/              @!P1 LDG.E.U16 R7, desc[UR6][R8.64+0x4] ;  /* 0x2 */
        /*0030*/                   LDG.E.64 R8, desc[UR6][R8.64] ;       /* 0x3 */
        /*0040*/                   LDG.E R8, desc[UR6][R8.64] ;          /* 0x3 */
        /*0050*/                   STL [R1+0x4], R10 ;                   /* 0x4 */
        /*0060*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ; /* 0x5 */
        /*0070*/                   UTMALDG.2D [UR8], [UR4] ;             /* 0x6 */
        /*0080*/               @P0 BRA 0x10 ;                            /* 0x7 */
        /*0090*/                   EXIT ;                                /* 0x8 */
        /*00a0*/                   BRA 0xa0;                             /* 0x9 */
)");
  const auto& code = kernels.at("k");
  ASSERT_EQ(code.size(), 11u);
  const std::vector<Loop> loops = find_loops(code);
  ASSERT_GE(loops.size(), 1u);
  EXPECT_EQ(loops[0].first, 0x10u);
  EXPECT_EQ(loops[0].own.loads, (std::map<int, int>{{2, 1}, {4, 1}, {8, 1}, {16, 1}}));
  EXPECT_EQ(loops[0].own.streamed, (std::map<int, int>{{16, 1}}));
  EXPECT_EQ(loops[0].own.matrix, (std::map<std::string, int>{{"bf16", 1}}));
  EXPECT_EQ(loops[0].own.bulk_loads, 1);
  EXPECT_EQ(loops[0].own.wide(), 2);
  EXPECT_EQ(loops[0].own.narrow(), 3);
  EXPECT_EQ(loops[0].own.local, 1);
}

/// Code from a text of one letter an instruction at addresses 0, 1, …: w and n load, "?3" may go to
/// 3, "!3" does, "." ends.
std::vector<Instruction> code_of(std::string_view text) {
  std::vector<Instruction> code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    Instruction instruction{.address = code.size()};
    using Kind = Instruction::Kind;
    if (text[i] == 'w' || text[i] == 'n') {
      instruction.kind = Kind::load;
      instruction.bytes = text[i] == 'w' ? 16 : 4;
    } else if (text[i] == '?' || text[i] == '!') {
      instruction.kind = text[i] == '?' ? Kind::branch : Kind::jump;
      instruction.target = std::uint64_t(text[++i] - '0');
    } else if (text[i] == '.') {
      instruction.kind = Kind::end;
    }
    code.push_back(instruction);
  }
  return code;
}

TEST(Loops, NestAndTakeInWhatStandsElsewhere) {
  // 0 n | 1 w outer | 2 n inner | 3 ?2 | 4 ?1 | 5 .
  const auto nested = find_loops(code_of("nwn?2?1."));
  ASSERT_EQ(nested.size(), 2u);
  EXPECT_EQ(nested[0].first, 1u);
  EXPECT_EQ(nested[0].counts.wide(), 1);
  EXPECT_EQ(nested[0].counts.narrow(), 1);
  EXPECT_EQ(nested[0].own.narrow(), 0);
  EXPECT_EQ(nested[0].inside, std::vector<std::uint64_t>{2});
  EXPECT_EQ(nested[1].own.narrow(), 1);
  // A rarely taken part behind the end belongs to the loop: 0 n | 1 w | 2 ?5 | 3 ?1 | 4 . | 5 n | 6
  // !3
  const auto apart = find_loops(code_of("nw?5?1.n!3"));
  ASSERT_EQ(apart.size(), 1u);
  EXPECT_EQ(apart[0].own.wide(), 1);
  EXPECT_EQ(apart[0].own.narrow(), 1);
  // A backward jump alone is no loop: 0 !3 | 1 w | 2 . | 3 n | 4 !1
  EXPECT_TRUE(find_loops(code_of("!3w.n!1")).empty());
  EXPECT_TRUE(find_loops({}).empty());
}

TEST(OccupancyRules, KnownPoints) {
  const auto warps = [](std::string_view arch, int registers, std::int64_t shared, int threads) {
    return occupancy(arch, registers, shared, threads).warps;
  };
  // LLVM's getNumWavesPerEUWithNumVGPRs for gfx1201: 96 registers leave 16 waves, 97 leave 12, 256
  // leave 5.
  EXPECT_EQ(warps("gfx1201", 96, 0, 32), 64);
  EXPECT_EQ(warps("gfx1201", 97, 0, 32), 48);
  EXPECT_EQ(warps("gfx1201", 256, 0, 32), 20);
  EXPECT_EQ(warps("gfx1201", 24, 65536, 256), 16) << "two blocks fill the LDS";
  // CUDA's calculator for 9.0: 32 registers fill 64 warps, 255 leave 8; 64 blocks of 32 threads are
  // limited to 32.
  EXPECT_EQ(warps("sm_90a", 32, 0, 256), 64);
  EXPECT_EQ(warps("sm_90a", 255, 0, 256), 8);
  EXPECT_EQ(warps("sm_90a", 32, 0, 32), 32);
  EXPECT_EQ(warps("sm_80", 64, 0, 256), 32);
  EXPECT_EQ(warps("sm_89", 32, 0, 256), 48);
  EXPECT_EQ(warps("sm_90a", 32, 116 * 1024, 256), 8);
}

class RealCode : public ::testing::TestWithParam<const char*> {};

TEST_P(RealCode, IsInspected) {
  const std::string arch = GetParam();
  const bool nvidia = arch.starts_with("sm_");
  std::string tried;
  const auto compiler = nvidia ? open_rtc(nvrtc_flavour(), tried) : open_clang(tried);
  if (!compiler) GTEST_SKIP() << "no compiler for " << arch;
  const SourceMap sources = {{"k.cu", R"(
#ifdef ISOTOPE_GFX12
#define KERNEL(threads) extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads)))
#define SHARED static __attribute__((shared))
#define LANE __builtin_amdgcn_workitem_id_x()
#define SYNC __builtin_amdgcn_s_barrier()
#else
#define KERNEL(threads) extern "C" __global__ __launch_bounds__(threads)
#define SHARED __shared__
#define LANE threadIdx.x
#define SYNC __syncthreads()
#endif
struct alignas(16) Four { float x, y, z, w; };
KERNEL(128) void calm(const Four* in, float* out, int n) {
  SHARED float words[1000];
  float sum = 0;
#pragma unroll 1
  for (int i = 0; i < n; ++i) {
    const Four f = in[i * 128 + LANE];
    sum += f.x * f.y + f.z * f.w;
  }
  words[LANE] = sum;
  SYNC;
  out[LANE] = words[(LANE + 1) % 128];
}
KERNEL(1024) void wasteful(const int* in, float* out, int n) {
  float values[512];
  for (int i = 0; i < 512; ++i) values[i] = float(in[i]);
  for (int i = 0; i < n; ++i) values[in[i] & 511] += values[in[i + 7] & 511];
  out[LANE] = values[n & 511];
}
)"}};
  const CodeObject code = compiler->compile({"unit", "k.cu", {}}, sources, arch);
  const auto disassembler = Disassembler::open(arch);
  std::vector<KernelFacts> kernels = inspect_code(code, "unit", arch, disassembler);
  ASSERT_EQ(kernels.size(), 2u);
  if (kernels[0].name != "calm") std::swap(kernels[0], kernels[1]);
  const KernelFacts &calm = kernels[0], &wasteful = kernels[1];
  EXPECT_EQ(calm.name, "calm");
  EXPECT_EQ(wasteful.name, "wasteful");
  EXPECT_GT(calm.vgprs, 4);
  EXPECT_LT(calm.vgprs, 64);
  // From sm_90 on the driver keeps 1 KiB for itself, which the section counts.
  EXPECT_EQ(calm.shared_bytes % 1024, 4000 % 1024);
  EXPECT_LE(calm.shared_bytes, 4000 + 1024);
  EXPECT_EQ(calm.max_threads, 128);
  EXPECT_EQ(calm.scratch_bytes, 0);
  EXPECT_EQ(wasteful.max_threads, 1024);
  EXPECT_GE(wasteful.scratch_bytes, 2048);
  if (!disassembler) GTEST_SKIP() << "no disassembler for " << arch;
  EXPECT_EQ(calm.code->local, 0);
  EXPECT_GT(wasteful.code->local, 0);
  ASSERT_GE(calm.loops.size(), 1u);
  EXPECT_EQ(calm.loops[0].own.loads, (std::map<int, int>{{16, 1}}));
}

TEST_P(RealCode, CutOffIsRefusedOrReadWithoutHarm) {
  const std::string arch = GetParam();
  std::string tried;
  const auto compiler =
      arch.starts_with("sm_") ? open_rtc(nvrtc_flavour(), tried) : open_clang(tried);
  if (!compiler) GTEST_SKIP() << "no compiler for " << arch;
  const SourceMap sources = {{"k.cu", R"(
#ifdef ISOTOPE_GFX12
extern "C" __attribute__((global)) void k(float* p) { p[0] = 1; }
#else
extern "C" __global__ void k(float* p) { p[0] = 1; }
#endif
)"}};
  CodeObject code = compiler->compile({"unit", "k.cu", {}}, sources, arch);
  const auto inspect = [&arch](std::span<const std::byte> bytes) {
    try {
      inspect_code(bytes, "unit", arch, {});
    } catch (const Error&) {
    }
  };
  EXPECT_THROW(inspect_code(std::span(code).first(60), "unit", arch, {}), Error);
  for (std::size_t size = 0; size < code.size(); size += 7) inspect(std::span(code).first(size));
  for (std::size_t at = 16; at < code.size(); at += 3) {
    CodeObject wrong = code;
    wrong[at] ^= std::byte(0xff);
    inspect(wrong);
  }
}

INSTANTIATE_TEST_SUITE_P(, RealCode, ::testing::Values("sm_80", "sm_90a", "gfx1201"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace isotope::jit
