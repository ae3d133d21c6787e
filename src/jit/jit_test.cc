#include "jit/jit.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "jit/cache.h"
#include "jit/process.h"
#include "jit/rtc.h"

namespace isotope::jit {
namespace {

/// "Code" is the text of unit and file, so that two different units never give the same.
class FakeCompiler : public Compiler {
 public:
  struct Log {
    std::atomic<int> compiled = 0;
    std::atomic<int> at_once = 0, most_at_once = 0;
  };
  explicit FakeCompiler(std::shared_ptr<Log> log, std::string identity = "fake 1",
                        std::vector<std::string> options = {"-O1"}, int milliseconds = 0)
      : log_(std::move(log)),
        identity_(std::move(identity)),
        options_(std::move(options)),
        milliseconds_(milliseconds) {}
  std::string identity() const override { return identity_; }
  std::vector<std::string> options(std::string_view) const override { return options_; }
  CodeObject compile(const Unit& unit, const SourceMap& sources,
                     std::string_view arch) const override {
    const int now = ++log_->at_once;
    for (int most = log_->most_at_once;
         now > most && !log_->most_at_once.compare_exchange_weak(most, now);) {
    }
    if (milliseconds_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds_));
    --log_->at_once;
    ++log_->compiled;
    if (unit.name.starts_with("bad")) fail(ErrorCode::internal, "{} does not compile", unit.name);
    const std::string text =
        unit.name + "|" + std::string(sources.at(unit.file)) + "|" + std::string(arch);
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::shared_ptr<Log> log_;
  std::string identity_;
  std::vector<std::string> options_;
  int milliseconds_;
};

std::string text_of(const CodeObject& code) {
  return {reinterpret_cast<const char*>(code.data()), code.size()};
}

SourceMap example_sources() {
  return {{"a.cu", "#include \"b.cuh\"\nkernel a"},
          {"b.cuh", "// nothing\n  #  include \"c.cuh\"  // deeper\n#include \"gone.cuh\"\n"},
          {"c.cuh", "words\n#include \"b.cuh\""},
          {"other.cu", "kernel other"}};
}

std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

::testing::AssertionResult contains(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << part << "\" is not in: " << text;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class JitTest : public ::testing::Test {
 protected:
  Builder builder(int milliseconds = 0, int jobs = 0) {
    return Builder(std::make_unique<FakeCompiler>(log_, "fake 1", std::vector<std::string>{"-O1"},
                                                  milliseconds),
                   sources_, "sm_90a", cache_, jobs);
  }
  std::string build_one(const Unit& unit) {
    return text_of(builder().build(std::span(&unit, 1))[0]);
  }

  TemporaryFolder folder_;
  std::filesystem::path cache_ = folder_.path() / "kernels";
  SourceMap sources_ = example_sources();
  std::shared_ptr<FakeCompiler::Log> log_ = std::make_shared<FakeCompiler::Log>();
  const Unit a_{"a<1>", "a.cu", {{"N", "1"}}};
};

TEST_F(JitTest, SecondBuildComesFromTheCache) {
  const std::string first = build_one(a_);
  Builder again = builder();
  EXPECT_EQ(text_of(again.build(std::span(&a_, 1))[0]), first);
  EXPECT_EQ(log_->compiled, 1);
  EXPECT_EQ(again.stats().compiled, 0);
  EXPECT_EQ(again.stats().from_cache, 1);
}

TEST_F(JitTest, EveryInputChangesTheKey) {
  std::set<std::string> keys;
  const auto add =
      [&](const Unit& unit, const SourceMap& sources, const std::string& identity = "fake 1",
          const std::vector<std::string>& options = {"-O1"}, const std::string& arch = "sm_90a") {
        keys.insert(hex(cache_key(unit, sources, FakeCompiler(log_, identity, options), arch)));
      };
  add(a_, sources_);
  add(a_, sources_);
  ASSERT_EQ(keys.size(), 1u);
  add({"a<2>", "a.cu", {{"N", "1"}}}, sources_);
  add({"a<1>", "other.cu", {{"N", "1"}}}, sources_);
  add({"a<1>", "a.cu", {{"N", "2"}}}, sources_);
  add({"a<1>", "a.cu", {{"M", "1"}}}, sources_);
  add({"a<1>", "a.cu", {{"N", "1"}, {"M", "1"}}}, sources_);
  add({"a<1>", "a.cu", {}}, sources_);
  add(a_, sources_, "fake 2");
  add(a_, sources_, "fake 1", {"-O2"});
  add(a_, sources_, "fake 1", {"-O1", "-g"});
  add(a_, sources_, "fake 1", {"-O1"}, "sm_80");
  EXPECT_EQ(keys.size(), 11u);
  for (const char* file : {"a.cu", "b.cuh", "c.cuh"}) {  // c is included by b alone
    SourceMap changed = sources_;
    const std::string text = std::string(sources_.at(file)) + " ";
    changed[file] = text;
    add(a_, changed);
  }
  EXPECT_EQ(keys.size(), 14u);
  SourceMap unrelated = sources_;
  unrelated["other.cu"] = "changed";
  add(a_, unrelated);
  EXPECT_EQ(keys.size(), 14u) << "a file that the unit does not include is no part of it";
}

TEST_F(JitTest, CorruptEntriesAreRebuilt) {
  const std::string right = build_one(a_);
  const auto files = files_below(cache_);
  ASSERT_EQ(files.size(), 1u);
  const std::string entry = read_file(files[0]);
  int builds = 1;
  for (std::size_t size :
       {std::size_t(0), std::size_t(7), std::size_t(40), entry.size() / 2, entry.size() - 1}) {
    std::ofstream(files[0], std::ios::binary) << entry.substr(0, size);
    EXPECT_EQ(build_one(a_), right);
    EXPECT_EQ(log_->compiled, ++builds) << "truncated to " << size;
  }
  for (std::size_t at = 0; at < entry.size(); ++at) {
    std::string wrong = entry;
    wrong[at] = char(wrong[at] ^ 0x10);
    std::ofstream(files[0], std::ios::binary) << wrong;
    ASSERT_EQ(build_one(a_), right);
    ASSERT_EQ(log_->compiled, ++builds) << "byte " << at << " changed";
  }
  std::ofstream(files[0], std::ios::binary) << entry + "x";
  EXPECT_EQ(build_one(a_), right);
  EXPECT_EQ(log_->compiled, ++builds);
  EXPECT_EQ(read_file(files[0]), entry) << "and the entry is mended";
}

TEST_F(JitTest, AnEntryOfAnotherKeyIsNotTaken) {
  build_one(a_);
  const auto entry = files_below(cache_)[0];
  const Unit other{"other", "other.cu", {}};
  const FakeCompiler compiler(log_);
  std::filesystem::rename(
      entry, Cache(cache_).path_of(cache_key(other, sources_, compiler, "sm_90a"), "sm_90a"));
  EXPECT_TRUE(contains(build_one(other), "kernel other"));
  EXPECT_EQ(log_->compiled, 2);
}

TEST_F(JitTest, ProcessesShareACacheWithoutSeeingHalfAnEntry) {
  // Three processes write large entries, one of them removes them again and again, and one looks at
  // the files as they are.
  const std::string large(3'000'000, 'x');
  sources_["a.cu"] = large;
  const std::string right = a_.name + "|" + large + "|sm_90a";
  const std::filesystem::path entry =
      Cache(cache_).path_of(cache_key(a_, sources_, FakeCompiler(log_), "sm_90a"), "sm_90a");
  constexpr std::size_t kHeader = 80;
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      bool good = true;
      std::error_code ignored;
      for (int round = 0; round < 25 && good; ++round) {
        if (child < 3) good = build_one(a_) == right;
        if (child == 0) std::filesystem::remove(entry, ignored);
        for (int look = 0; look < 40 && child == 3; ++look) {
          const std::uintmax_t bytes = std::filesystem::file_size(entry, ignored);
          good = good && (ignored || bytes == kHeader + right.size());
          std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(build_one(a_), right);
  EXPECT_EQ(files_below(cache_).size(), 1u) << "no temporary file is left";
}

TEST_F(JitTest, AFolderThatCannotBeWrittenOnlyWarns) {
  std::ofstream(cache_) << "a file where the folder should be";
  Builder one = builder();
  const Unit other{"other", "other.cu", {}};
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(contains(text_of(one.build(std::span(&a_, 1))[0]), "kernel a"));
  EXPECT_TRUE(contains(text_of(one.build(std::span(&other, 1))[0]), "kernel other"));
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(log, cache_.string()));
  EXPECT_EQ(log.find("cannot be kept"), log.rfind("cannot be kept")) << log;
}

TEST_F(JitTest, WithoutAFolderNothingIsKept) {
  Builder none(std::make_unique<FakeCompiler>(log_), sources_, "sm_90a", {});
  none.build(std::span(&a_, 1));
  none.build(std::span(&a_, 1));
  EXPECT_EQ(log_->compiled, 2);
}

TEST_F(JitTest, BuildsInParallelInOrderWithProgress) {
  std::vector<Unit> units;
  for (int i = 0; i < 24; ++i) units.push_back({"u" + std::to_string(i), "other.cu", {}});
  std::atomic<int> inside = 0;
  std::int64_t last = 0;
  std::set<std::string> names;
  const auto objects =
      builder(5, 4).build(units, [&](std::int64_t done, std::int64_t total, std::string_view name) {
        EXPECT_EQ(++inside, 1);
        EXPECT_EQ(done, ++last);
        EXPECT_EQ(total, 24);
        names.emplace(name);
        --inside;
      });
  EXPECT_EQ(last, 24);
  EXPECT_EQ(names.size(), 24u);
  for (int i = 0; i < 24; ++i)
    EXPECT_TRUE(text_of(objects[i]).starts_with("u" + std::to_string(i) + "|"));
  EXPECT_GT(log_->most_at_once, 1);
  EXPECT_LE(log_->most_at_once, 4);
}

TEST_F(JitTest, TheFirstErrorEndsTheBuild) {
  std::vector<Unit> units(100, Unit{"good", "other.cu", {}});
  for (int i = 0; i < 100; ++i) units[i].name += std::to_string(i);
  units[3].name = "bad";
  Builder one = builder(1, 2);
  EXPECT_EQ(message_of([&] { one.build(units); }), "bad does not compile");
  EXPECT_LT(log_->compiled, 20);
  EXPECT_TRUE(contains(message_of([&] {
                         const Unit missing{"m", "missing.cu", {}};
                         one.build(std::span(&missing, 1));
                       }),
                       "missing.cu"));
}

TEST(JitEnvironment, CacheFolder) {
  const auto with = [](const char* cache, const char* xdg, const char* home) {
    std::vector<std::pair<const char*, std::string>> old;
    for (const auto& [name, value] :
         {std::pair{"ISOTOPE_CACHE", cache}, {"XDG_CACHE_HOME", xdg}, {"HOME", home}}) {
      old.emplace_back(name, environment(name));
      ::setenv(name, value, 1);
    }
    const std::string folder = default_cache().string();
    for (const auto& [name, value] : old)
      if (value.empty())
        ::unsetenv(name);
      else
        ::setenv(name, value.c_str(), 1);
    return folder;
  };
  EXPECT_EQ(with("/c", "/x", "/h"), "/c");
  EXPECT_EQ(with("", "/x", "/h"), "/x/isotope/kernels");
  EXPECT_EQ(with("", "relative", "/h"), "/h/.cache/isotope/kernels");
  EXPECT_EQ(with("", "", ""), "");
}

TEST(JitEnvironment, UnknownArchAndMissingCompilersAreNamed) {
  EXPECT_TRUE(contains(message_of([] { open_compiler("gfx906"); }), "gfx906"));
  ::setenv("ISOTOPE_CLANG", "/nowhere/clang", 1);
  EXPECT_TRUE(contains(message_of([] { open_compiler("gfx1201"); }), "/nowhere/clang"));
  ::unsetenv("ISOTOPE_CLANG");
  const std::string old = environment("ISOTOPE_NVRTC_LIBRARY");
  ::setenv("ISOTOPE_NVRTC_LIBRARY", "/nowhere/libnvrtc.so", 1);
  EXPECT_TRUE(contains(message_of([] { open_compiler("sm_90a"); }), "/nowhere/libnvrtc.so"));
  ::setenv("ISOTOPE_NVRTC_LIBRARY", "libm.so.6", 1);
  EXPECT_TRUE(contains(message_of([] { open_compiler("sm_90a"); }), "nvrtcVersion"));
  if (old.empty())
    ::unsetenv("ISOTOPE_NVRTC_LIBRARY");
  else
    ::setenv("ISOTOPE_NVRTC_LIBRARY", old.c_str(), 1);
}

/// The compilers that are installed, with small kernels.
class RealCompiler : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string tried;
    if (is_nvidia())
      compiler_ = open_rtc(nvrtc_flavour(), tried);
    else
      compiler_ = open_clang(tried);
    if (!compiler_) GTEST_SKIP() << "no compiler for " << GetParam();
  }
  bool is_nvidia() const { return std::string_view(GetParam()).starts_with("sm_"); }
  SourceMap sources() const {
    return {{"x/k.cu", "#include \"x/words.cuh\"\nKERNEL void k(float* p) { p[0] = N; }"},
            {"x/words.cuh",
             "#ifdef ISOTOPE_GFX12\n#define KERNEL extern \"C\" __attribute__((global))\n#else\n"
             "#define KERNEL extern \"C\" __global__\nstatic_assert(ISOTOPE_SM >= 80);\n#endif\n"}};
  }
  std::unique_ptr<Compiler> compiler_;
};

TEST_P(RealCompiler, MakesElfOfUnitAndHeaders) {
  const CodeObject code =
      compiler_->compile({"k<3>", "x/k.cu", {{"N", "3"}}}, sources(), GetParam());
  ASSERT_GT(code.size(), 64u);
  EXPECT_EQ(text_of(code).substr(0, 4),
            "\x7f"
            "ELF");
  EXPECT_EQ(int(code[18]), is_nvidia() ? 190 : 224);  // e_machine: EM_CUDA, EM_AMDGPU
}

TEST_P(RealCompiler, SaysWhatDoesNotCompile) {
  SourceMap wrong = sources();
  wrong["x/words.cuh"] = "static_assert(nonsense_word);\n#define KERNEL\n";
  const std::string message = message_of([&] {
    compiler_->compile({"k<3>", "x/k.cu", {{"N", "3"}}}, wrong, GetParam());
  });
  for (const std::string& part :
       {std::string("k<3>"), std::string("x/k.cu"), std::string(GetParam()), compiler_->identity(),
        std::string("-DN=3"), std::string("nonsense_word")})
    EXPECT_TRUE(contains(message, part));
  EXPECT_FALSE(contains(message, "/tmp/"));
}

TEST_P(RealCompiler, CutsEndlessMessages) {
  SourceMap wrong = sources();
  const std::string text = "#error " + std::string(100000, 'x') + "\n";
  wrong["x/words.cuh"] = text;
  EXPECT_LT(message_of([&] {
              compiler_->compile({"k", "x/k.cu", {{"N", "3"}}}, wrong, GetParam());
            }).size(),
            8000u);
}

INSTANTIATE_TEST_SUITE_P(, RealCompiler, ::testing::Values("sm_80", "sm_90a", "gfx1201"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace isotope::jit
