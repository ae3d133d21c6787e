// An installed clang for gfx12: no ROCm is needed, only the compiler and its linker (Debian's
// clang-19, lld-19).
#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "jit/process.h"
#include "jit/rtc.h"
#include "jit/sources.h"

namespace isotope::jit {
namespace {

constexpr int kOldest = 19;  // the first whose gfx1201 we have tested

/// First line of what `--version` prints, or nothing if the program does not run.
std::string version_line(const std::string& program) {
  const ProcessResult result = run_process({program, "--version"});
  return result.succeeded() ? result.output.substr(0, result.output.find('\n')) : std::string();
}

/// 19 of "Debian clang version 19.1.7 (3~deb12u1)", 0 if there is no such number.
int major_version(std::string_view line) {
  constexpr std::string_view kBefore = "clang version ";
  const std::size_t at = line.find(kBefore);
  int major = 0;
  if (at != std::string_view::npos)
    std::from_chars(line.data() + at + kBefore.size(), line.data() + line.size(), major);
  return major;
}

class ClangCompiler final : public Compiler {
 public:
  ClangCompiler(std::string program, std::string version)
      : program_(std::move(program)), version_(std::move(version)) {}

  std::string identity() const override { return version_; }

  std::vector<std::string> options(std::string_view arch) const override {
    std::vector<std::string> options = {"-x",
                                        "hip",
                                        fmt::format("--offload-arch={}", arch),
                                        "--offload-device-only",
                                        "--no-gpu-bundle-output",
                                        "-nogpulib",
                                        "-nogpuinc",
                                        "-std=c++20",
                                        "-O3"};
    for (std::string& option : gfx_options(arch)) options.push_back(std::move(option));
    return options;
  }

  CodeObject compile(const Unit& unit, const SourceMap& sources,
                     std::string_view arch) const override {
    const TemporaryFolder folder;
    for (const auto& [name, text] : include_closure(sources, unit))
      folder.write(std::filesystem::path("src") / name, text);
    const std::string include = (folder.path() / "src").string();
    const std::string output = (folder.path() / "code").string();
    std::vector<std::string> shown = options(arch);
    for (std::string& define : define_options(unit)) shown.push_back(std::move(define));
    std::vector<std::string> arguments = {program_};
    arguments.insert(arguments.end(), shown.begin(), shown.end());
    arguments.insert(arguments.end(), {"-I" + include, include + "/" + unit.file, "-o", output});
    const ProcessResult result = run_process(arguments);
    if (!result.succeeded()) {
      std::string text =
          result.output;  // names as in the program, not those of the temporary folder
      for (std::size_t at; (at = text.find(include + "/")) != std::string::npos;)
        text.erase(at, include.size() + 1);
      compilation_failed(unit, arch, version_, shown, text);
    }
    const std::string code = read_file(output);
    const auto bytes = std::as_bytes(std::span(code));
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::string program_, version_;
};

std::unique_ptr<Compiler> checked_clang(const std::string& program, const std::string& version) {
  const ProcessResult linker = run_process({program, "-print-prog-name=lld"});
  // Without a folder clang has not found it beside itself, and would look in PATH.
  const std::string found = linker.output.substr(0, linker.output.find('\n'));
  if (found.find('/') == std::string::npos &&
      !run_process({"lld", "-flavor", "gnu", "--version"}).succeeded())
    fail(ErrorCode::not_found,
         "{} compiles for gfx12 but its linker lld is missing: install the package lld-{}", program,
         major_version(version));
  return std::make_unique<ClangCompiler>(program, version);
}

}  // namespace

std::unique_ptr<Compiler> open_clang(std::string& tried) {
  if (const std::string named = environment("ISOTOPE_CLANG"); !named.empty()) {
    const std::string version = version_line(named);
    if (version.empty())
      fail(ErrorCode::not_found, "ISOTOPE_CLANG={}: this program does not run", named);
    return checked_clang(named, version);
  }
  for (const char* program :
       {"clang-19", "clang-20", "clang-21", "clang-22", "clang", "/opt/rocm/llvm/bin/clang++"}) {
    const std::string version = version_line(program);
    if (major_version(version) >= kOldest) return checked_clang(program, version);
    tried += (tried.empty() ? "" : ", ") + std::string(program);
  }
  return nullptr;
}

}  // namespace isotope::jit
