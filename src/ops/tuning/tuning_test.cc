#include "ops/tuning/tuning.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace isotope::ops {
namespace {

Tuning example() {
  return Tuning({{"mul", "warps", 1, 16},
                 {"mul", "splits", 1, 64},
                 {"mul", "parts", 1, 8, true, true},
                 {"att", "warps", 1, 8}});
}

std::string message_of(const std::string& text) {
  Tuning tuning = example();
  try {
    tuning.add(text, "x.toml");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Tuning, LaterRowsGoOverEarlierOnesValueByValue) {
  Tuning tuning = example();
  tuning.add(R"(
[[mul]]
warps = 4
splits = 2
[[mul]]
weight = ["f8_e4m3", "bf16"]
n = [4096, 8192]
k = 4096
warps = 8
[[att]]
rows = [2, 16]
warps = 2
)",
             "x.toml");
  const auto warps = [&](TuningShape shape) { return tuning.value("mul", shape, "warps", 1); };
  EXPECT_EQ(warps({DType::f8_e4m3, 4096, 4096, 1}), 8);
  EXPECT_EQ(warps({DType::bf16, 8192, 4096, 1}), 8);
  EXPECT_EQ(warps({DType::f32, 8192, 4096, 1}), 4) << "another type";
  EXPECT_EQ(warps({DType::bf16, 4095, 4096, 1}), 4);
  EXPECT_EQ(warps({DType::bf16, 8193, 4096, 1}), 4);
  EXPECT_EQ(warps({DType::bf16, 4096, 4097, 1}), 4);
  EXPECT_EQ(tuning.value("mul", {DType::bf16, 4096, 4096, 1}, "splits", 1), 2);
  EXPECT_EQ(tuning.value("att", {.rows = 1}, "warps", 5), 5);
  EXPECT_EQ(tuning.value("att", {.rows = 16}, "warps", 5), 2);
  EXPECT_THROW(tuning.value("att", {}, "splits", 5), Error) << "not declared";
  tuning.add("[[mul]]\nwarps = 16\n", "own.toml");
  EXPECT_EQ(warps({DType::bf16, 4096, 4096, 1}), 16);
}

TEST(Tuning, ErrorsNameFileAndLine) {
  EXPECT_EQ(message_of("[[mul]]\nwarps = 17\n"), "x.toml:2: warps = 17 is not within 1 to 16");
  EXPECT_EQ(message_of("[[mul]]\nwarps = 0\n"), "x.toml:2: warps = 0 is not within 1 to 16");
  EXPECT_EQ(message_of("[[mul]]\n\nwarps = true\n"), "x.toml:3: warps must be an integer");
  EXPECT_EQ(message_of("[[mul]]\nwrap = 3\n"), "x.toml:2: mul has no value wrap");
  EXPECT_EQ(message_of("\n[[mull]]\nwarps = 3\n"), "x.toml:2: mull is no kernel with tuned values");
  EXPECT_EQ(message_of("[mul]\nwarps = 3\n"), "x.toml:1: rows of mul are written as [[mul]]");
  EXPECT_EQ(message_of("mul = 3\n"), "x.toml:1: rows of mul are written as [[mul]]");
  EXPECT_EQ(message_of("[[mul]]\nn = [4, 3]\nwarps = 3\n"), "x.toml:2: n = [4, 3] holds nothing");
  EXPECT_EQ(message_of("[[mul]]\nn = [4]\nwarps = 3\n"),
            "x.toml:2: n must be a number or [first, last]");
  EXPECT_EQ(message_of("[[mul]]\nn = -1\nwarps = 3\n").substr(0, 30),
            "x.toml:2: n = -1 is not within");
  EXPECT_EQ(message_of("[[mul]]\nweight = \"fp8\"\nwarps = 3\n"),
            "x.toml:2: weight must be f32, f16, bf16 or f8_e4m3, or a list of them");
  EXPECT_EQ(message_of("[[mul]]\nn = 4\n"), "x.toml:1: this row of mul sets nothing");
  EXPECT_EQ(message_of("[[mul]]\nparts = 3\n"), "x.toml:2: parts = 3 is no power of two");
  EXPECT_EQ(message_of("[[mul]]\nrows = 4\nparts = 2\n"),
            "x.toml:1: parts decides the bits of a row, so it cannot depend on how many rows there "
            "are: leave out the matcher rows");
  EXPECT_EQ(message_of("[[mul]]\nwarps = \n").substr(0, 9), "x.toml:2:");
}

TEST(Tuning, ATrialGoesOverAllRowsAtItsShape) {
  Tuning tuning = example();
  tuning.add("[[mul]]\nwarps = 4\nparts = 2\n", "x.toml");
  const TuningShape shape{DType::bf16, 64, 32, 8}, other{DType::bf16, 64, 32, 16};
  tuning.begin_trial("mul", shape, {{"warps", 7}, {"parts", 8}});
  EXPECT_EQ(tuning.value("mul", shape, "warps", 1), 7);
  EXPECT_EQ(tuning.value("mul", other, "warps", 1), 4);
  EXPECT_EQ(tuning.value("mul", {DType::bf16, 64, 32, 0}, "parts", 1), 8) << "asked for once";
  EXPECT_EQ(tuning.value("mul", {DType::bf16, 64, 33, 0}, "parts", 1), 2);
  EXPECT_EQ(tuning.value("mul", shape, "splits", 5), 5);
  tuning.end_trial();
  EXPECT_EQ(tuning.value("mul", shape, "warps", 1), 4);
}

TEST(Tuning, RowsFallIntoBuckets) {
  EXPECT_EQ(decode_bucket(1), 1);
  EXPECT_EQ(decode_bucket(3), 4);
  EXPECT_EQ(decode_bucket(128), 128);
  EXPECT_EQ(prefill_bucket(1), 64);
  EXPECT_EQ(prefill_bucket(65), 128);
  EXPECT_EQ(prefill_bucket(549), 640);
}

TEST(Tuning, EmbeddedTablesAndThoseOfTheUser) {
  for (const char* arch : {"gfx1201", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_120a", "gfx1200"})
    EXPECT_NO_THROW(Tuning::for_arch(arch)) << arch;
  const std::filesystem::path config =
      std::filesystem::path(::testing::TempDir()) / "isotope-tuning-test";
  std::filesystem::create_directories(config / "isotope" / "tuning");
  const char* old = std::getenv("XDG_CONFIG_HOME");
  const std::string before = old ? old : "";
  ::setenv("XDG_CONFIG_HOME", config.c_str(), 1);
  std::ofstream(config / "isotope" / "tuning" / "sm_90.toml") << "\n\n[[nonsense]]\nx = 1\n";
  try {
    Tuning::for_arch("sm_90a");
    ADD_FAILURE() << "the user's table was not read";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("isotope/tuning/sm_90.toml:3: nonsense"),
              std::string::npos)
        << error.what();
  }
  EXPECT_NO_THROW(Tuning::for_arch("sm_80"));
  old ? ::setenv("XDG_CONFIG_HOME", before.c_str(), 1) : ::unsetenv("XDG_CONFIG_HOME");
  std::filesystem::remove_all(config);
}

}  // namespace
}  // namespace isotope::ops
