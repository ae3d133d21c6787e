#include "sim/testing.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "sim/decode.h"

namespace isotope::sim {
namespace {

std::set<const Opcode*>& exercised() {
  static std::set<const Opcode*> made;
  return made;
}

/// Programs are kept: tests run the same lines many times.
const Program& program_of(std::string_view assembler) {
  static Decoder decoder;
  static std::map<std::string, std::unique_ptr<std::pair<std::vector<std::byte>, Program>>, std::less<>> programs;
  auto& entry = programs[std::string(assembler)];
  if (!entry) {
    entry = std::make_unique<std::pair<std::vector<std::byte>, Program>>();
    entry->first = decoder.assemble(std::string(assembler) + "\ns_endpgm\n");
    entry->second = decoder.decode(entry->first, u64(entry->first.data()));
  }
  return entry->second;
}

std::string compiler() {
  const char* const named = std::getenv("ISOTOPE_CLANG");
  return named && *named ? named : "clang-19";
}

/// For a shell.
std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') out += "'\\'";
    out += c;
  }
  return out += '\'';
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// FNV-1a
u64 hash(std::string_view text) {
  u64 value = 0xcbf29ce484222325u;
  for (const char c : text) value = (value ^ u8(c)) * 0x100000001b3u;
  return value;
}

/// Compiles `text` to `target`, which appears whole or not at all: other processes want the same.
void compile_file(std::string_view text, const std::string& command, const std::filesystem::path& target) {
  const auto with = [&](const char* suffix) { return target.string() + fmt::format(".{}{}", getpid(), suffix); };
  const std::string source = with(".hip"), output = with(".co"), words = with(".txt");
  std::ofstream(source) << text;
  const int status =
      std::system((command + " -o " + quoted(output) + " " + quoted(source) + " >" + quoted(words) + " 2>&1").c_str());
  const std::string complaint = status == 0 ? "" : read_file(words);
  if (status == 0) std::filesystem::rename(output, target);
  for (const std::string& file : {source, output, words}) std::filesystem::remove(file);
  if (status != 0) throw Fault("the compiler: " + complaint);
}

}  // namespace

const std::string_view kHipPrelude = R"(
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(threads, ...) __attribute__((amdgpu_flat_work_group_size(1, threads)))
typedef unsigned long long u64;
typedef long long i64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
struct IndexOfThread {
  __declspec(property(get = get_x)) u32 x;
  __declspec(property(get = get_y)) u32 y;
  __declspec(property(get = get_z)) u32 z;
  __device__ static u32 get_x() { return __builtin_amdgcn_workitem_id_x(); }
  __device__ static u32 get_y() { return __builtin_amdgcn_workitem_id_y(); }
  __device__ static u32 get_z() { return __builtin_amdgcn_workitem_id_z(); }
};
struct IndexOfBlock {
  __declspec(property(get = get_x)) u32 x;
  __declspec(property(get = get_y)) u32 y;
  __declspec(property(get = get_z)) u32 z;
  __device__ static u32 get_x() { return __builtin_amdgcn_workgroup_id_x(); }
  __device__ static u32 get_y() { return __builtin_amdgcn_workgroup_id_y(); }
  __device__ static u32 get_z() { return __builtin_amdgcn_workgroup_id_z(); }
};
struct SizeOfBlock {
  __declspec(property(get = get_x)) u32 x;
  __declspec(property(get = get_y)) u32 y;
  __declspec(property(get = get_z)) u32 z;
  __device__ static u32 get_x() { return __builtin_amdgcn_workgroup_size_x(); }
  __device__ static u32 get_y() { return __builtin_amdgcn_workgroup_size_y(); }
  __device__ static u32 get_z() { return __builtin_amdgcn_workgroup_size_z(); }
};
struct SizeOfGrid {
  __declspec(property(get = get_x)) u32 x;
  __declspec(property(get = get_y)) u32 y;
  __declspec(property(get = get_z)) u32 z;
  __device__ static u32 get(int axis) {
    return ((__attribute__((address_space(4))) const u32*)__builtin_amdgcn_implicitarg_ptr())[axis];
  }
  __device__ static u32 get_x() { return get(0); }
  __device__ static u32 get_y() { return get(1); }
  __device__ static u32 get_z() { return get(2); }
};
extern const __device__ __attribute__((weak)) IndexOfThread threadIdx;
extern const __device__ __attribute__((weak)) IndexOfBlock blockIdx;
extern const __device__ __attribute__((weak)) SizeOfBlock blockDim;
extern const __device__ __attribute__((weak)) SizeOfGrid gridDim;
__device__ inline void __syncthreads() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
)";

bool have_hip_compiler() {
  static const bool have = std::system((quoted(compiler()) + " --version >/dev/null 2>&1").c_str()) == 0;
  return have;
}

std::vector<std::byte> compile_hip(std::string_view text, std::vector<std::string> options) {
  std::string command = quoted(compiler()) +
                        " -x hip --offload-arch=gfx1201 --offload-device-only --no-gpu-bundle-output -nogpulib -nogpuinc"
                        " -std=c++20 -O3";
  for (const std::string& option : options) command += fmt::format(" {}", quoted(option));
  const std::filesystem::path folder = ISOTOPE_SIM_TEMPORARY;
  std::filesystem::create_directories(folder);
  const auto target = folder / fmt::format("{:016x}.co", hash(command + "\n" + std::string(text)));
  if (!std::filesystem::exists(target)) compile_file(text, command, target);
  const std::string file = read_file(target);
  std::vector<std::byte> bytes(file.size());
  std::memcpy(bytes.data(), file.data(), file.size());
  return bytes;
}

TestProgram::TestProgram(std::string_view text, std::vector<std::string> options)
    : code(compile_hip(std::string(kHipPrelude) + std::string(text), std::move(options))) {
  memory.add(code.image().data(), code.image().size(), "the code object");
}

void TestProgram::append(std::vector<std::byte>& packed, const void* argument, std::size_t bytes, std::size_t alignment) {
  const std::size_t at = (packed.size() + alignment - 1) / alignment * alignment;
  packed.resize(at + bytes);
  std::memcpy(packed.data() + at, argument, bytes);
}

void TestProgram::launch(std::string_view name, std::array<u32, 3> grid, std::array<u32, 3> threads,
                         std::span<const std::byte> packed) {
  const Kernel* const kernel = code.find(name);
  if (!kernel) throw Fault("there is no kernel " + std::string(name));
  counters.wants_opcodes = true;
  isotope::sim::run(code, *kernel, {grid, threads, dynamic_lds, packed}, memory, counters);
  for (const auto& [opcode, count] : counters.opcodes) exercised().insert(opcode);
}

TestWave::TestWave(std::size_t lds_bytes) {
  wave.vgpr.resize(256);
  wave.sgpr[kExecLo] = ~0u;
  wave.group = &group;
  group.waves = 1;
  group.memory = &memory;
  group.counters = &counters;
  group.lds.resize(lds_bytes);
}

void TestWave::run(std::string_view assembler) {
  const Program& program = program_of(assembler);
  // What ends in a fault is exercised too.
  for (const Instruction& instruction : program.instructions)
    if (instruction.opcode) exercised().insert(instruction.opcode);
  for (const Instruction& instruction : program.halves)
    if (instruction.opcode) exercised().insert(instruction.opcode);
  wave.program = &program;
  wave.state = Wave::running;
  wave.now = 0;
  while (wave.state == Wave::running) run_wave(wave);
}

const std::set<const Opcode*>& exercised_opcodes() { return exercised(); }

}  // namespace isotope::sim
