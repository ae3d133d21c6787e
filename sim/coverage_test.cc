// The table of opcodes: implemented, executed by these tests, emitted for our kernels. Printed and checked at the end of a run of
// all tests where ISOTOPE_SIM_KERNELS names a folder of code objects (a kernel cache).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "sim/code_object.h"
#include "sim/decode.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

struct Row {
  bool implemented = false, exercised = false;
  u64 emitted = 0;
};
using Table = std::map<std::string, Row>;

/// A cache entry is a code object behind a short header.
std::string code_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  const std::size_t begin = bytes.substr(0, 256).find("\x7f" "ELF");
  return begin == bytes.npos ? "" : bytes.substr(begin);
}

void count(const Instruction& instruction, Table& table) {
  ++table[instruction.opcode ? std::string(instruction.opcode->name) : mnemonic_of(instruction.text)].emitted;
}

/// How many code objects there are.
int count_emitted(const std::filesystem::path& folder, Table& table) {
  int objects = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string code = entry.is_regular_file() ? code_of(entry.path()) : "";
    if (code.empty()) continue;
    const CodeObject object(std::as_bytes(std::span(code)));
    for (const Instruction& instruction : object.program().instructions) count(instruction, table);
    for (const Instruction& instruction : object.program().halves) count(instruction, table);
    ++objects;
  }
  return objects;
}

Table known_opcodes() {
  Table table;
  for (const Opcode& opcode : Opcodes::all().list()) table[std::string(opcode.name)].implemented = true;
  for (const Opcode* opcode : exercised_opcodes()) table[std::string(opcode->name)].exercised = true;
  return table;
}

bool all_tests_ran() {
  const auto* unit = ::testing::UnitTest::GetInstance();
  return GTEST_FLAG_GET(filter) == "*" && unit->test_to_run_count() == unit->total_test_count() - unit->disabled_test_count();
}

class Coverage final : public ::testing::Environment {
 public:
  void TearDown() override {
    const char* folder = std::getenv("ISOTOPE_SIM_KERNELS");
    if (!folder || !all_tests_ran()) return;
    Table table = known_opcodes();
    const int objects = count_emitted(folder, table);
    EXPECT_GT(objects, 0) << "no code objects below ISOTOPE_SIM_KERNELS=" << folder;
    print(table, objects);
    for (const auto& [name, row] : table) {
      EXPECT_TRUE(!row.implemented || row.exercised) << name << " is implemented but no test executes it";
      EXPECT_TRUE(row.emitted == 0 || row.implemented) << name << " is in our kernels but not implemented";
    }
  }

 private:
  static void print(const Table& table, int objects) {
    int implemented = 0, exercised = 0, emitted = 0;
    std::printf("%-34s %-12s %-9s %s\n", "opcode", "implemented", "exercised", "in kernels");
    for (const auto& [name, row] : table) {
      std::printf("%-34s %-12s %-9s %llu\n", name.c_str(), row.implemented ? "yes" : "no", row.exercised ? "yes" : "no",
                  static_cast<unsigned long long>(row.emitted));
      implemented += row.implemented, exercised += row.exercised, emitted += row.emitted > 0;
    }
    std::printf("%d opcodes implemented, %d exercised, %d in the kernels of %d code objects\n", implemented, exercised, emitted,
                objects);
  }
};

const auto* const kCoverage = ::testing::AddGlobalTestEnvironment(new Coverage);

}  // namespace
}  // namespace isotope::sim
