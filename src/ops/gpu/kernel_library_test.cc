#include "ops/gpu/kernel_library.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"

namespace isotope::ops::gpu {
namespace {

struct Params {
  int x = 0;
};

class CountingCompiler : public jit::Compiler {
 public:
  explicit CountingCompiler(std::shared_ptr<std::atomic<int>> count) : count_(std::move(count)) {}
  std::string identity() const override { return "counting"; }
  std::vector<std::string> options(std::string_view) const override { return {}; }
  jit::CodeObject compile(const jit::Unit&, const jit::SourceMap&,
                          std::string_view) const override {
    ++*count_;
    return jit::CodeObject(8);
  }

 private:
  std::shared_ptr<std::atomic<int>> count_;
};

class KernelLibraryTest : public ::testing::Test {
 protected:
  std::unique_ptr<jit::Builder> builder() {
    return std::make_unique<jit::Builder>(std::make_unique<CountingCompiler>(compiled_), sources_,
                                          "sm_90a", std::filesystem::path());
  }
  static std::vector<std::string> names(const std::vector<jit::Unit>& units) {
    std::vector<std::string> all;
    for (const jit::Unit& unit : units) all.push_back(unit.name);
    return all;
  }

  const jit::SourceMap sources_{{"k.cu", "text"}};
  std::shared_ptr<std::atomic<int>> compiled_ = std::make_shared<std::atomic<int>>(0);
  std::unique_ptr<device::Gpu> gpu_ = device::open_paper_gpu("sm_90a");
  const jit::Unit one_{"k<1>", "k.cu", {{"N", "1"}}}, two_{"k<2>", "k.cu", {{"N", "2"}}};
};

TEST(KernelSources, AreEmbeddedWholeAndIncludeNothingThatIsMissing) {
  const jit::SourceMap& sources = kernel_sources();
  ASSERT_TRUE(sources.contains("ops/gpu/portable.cuh"));
  EXPECT_TRUE(sources.at("ops/gpu/portable.cuh")
                  .starts_with("// The words that kernel text is written in"));
  for (const auto& [name, text] : sources) {
    EXPECT_FALSE(text.empty()) << name;
    EXPECT_EQ(text.back(), '\n') << name;
    for (std::size_t at = 0; (at = text.find("#include \"", at)) != std::string_view::npos;) {
      at += 10;
      const std::string_view included = text.substr(at, text.find('"', at) - at);
      EXPECT_TRUE(sources.contains(included) || included.starts_with("tests/"))
          << name << " includes " << included;
    }
  }
}

TEST_F(KernelLibraryTest, RecordsEachUnitOnceAndCompilesNothing) {
  KernelLibrary library(*gpu_, builder());
  library.start_recording();
  EXPECT_TRUE(library.recording());
  library.launch({two_, "f"}, {.threads = 128, .shared_bytes = 1000}, Params{});
  library.launch({one_, "f"}, {}, Params{});
  library.launch({two_, "g"}, {}, Params{});
  library.launch({two_, "f"}, {.threads = 64, .shared_bytes = 3000}, Params{});
  EXPECT_EQ(names(library.stop_recording()), (std::vector<std::string>{"k<2>", "k<1>"}));
  EXPECT_FALSE(library.recording());
  EXPECT_EQ(*compiled_, 0);
  ASSERT_EQ(library.noted().size(), 2u);
  EXPECT_EQ(library.noted()[0].functions.size(), 2u);
  EXPECT_EQ(library.noted()[0].functions.at("f").threads, 128u);
  EXPECT_EQ(library.noted()[0].functions.at("f").shared_bytes, 3000u);
  library.start_recording();
  EXPECT_TRUE(library.stop_recording().empty()) << "a recording starts from nothing";
}

TEST_F(KernelLibraryTest, BuildsAheadOnceAndCountsWhatComesLate) {
  KernelLibrary library(*gpu_, builder());
  std::int64_t progress = 0;
  library.build({one_, one_}, [&](std::int64_t, std::int64_t total, std::string_view) {
    ++progress;
    EXPECT_EQ(total, 1);
  });
  EXPECT_EQ(progress, 1);
  library.launch({one_, "f"}, {}, Params{});
  library.build({one_});
  EXPECT_EQ(*compiled_, 1);
  EXPECT_EQ(library.late_builds(), 0);
  ::testing::internal::CaptureStderr();
  library.launch({two_, "f"}, {}, Params{});
  library.launch({two_, "g"}, {}, Params{});
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("k<2>"), std::string::npos);
  EXPECT_EQ(library.late_builds(), 1);
  EXPECT_EQ(*compiled_, 2);
}

TEST_F(KernelLibraryTest, AGridWithoutBlocksIsNoLaunch) {
  KernelLibrary library(*gpu_, builder());
  for (std::size_t axis = 0; axis < 3; ++axis) {
    device::Launch launch;
    launch.grid[axis] = 0;
    library.launch({one_, "f"}, launch, Params{});
  }
  EXPECT_EQ(*compiled_, 0);
}

TEST_F(KernelLibraryTest, TwoUnitsOfOneNameAreABug) {
  const jit::Unit other{"k<1>", "k.cu", {{"N", "3"}}};
  KernelLibrary library(*gpu_, builder());
  library.start_recording();
  library.launch({one_, "f"}, {}, Params{});
  EXPECT_THROW(library.launch({other, "f"}, {}, Params{}), Error);
  library.stop_recording();
  EXPECT_THROW(library.build({one_, other}), Error);
  library.build({one_});
  EXPECT_THROW(library.build({other}), Error);
  EXPECT_THROW(library.launch({other, "f"}, {}, Params{}), Error);
}

TEST_F(KernelLibraryTest, ACardOnPaperOnlyNotes) {
  const auto library = make_kernel_library(*gpu_);
  EXPECT_TRUE(library->recording());
  library->launch({one_, "f"}, {}, Params{});
  library->build({two_});
  EXPECT_EQ(names(library->stop_recording()), std::vector<std::string>{"k<1>"});
}

}  // namespace
}  // namespace isotope::ops::gpu
