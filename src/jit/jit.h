// Source text in, code object out: compiled for the GPU at hand when first needed, cached on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isotope::jit {

/// Files of kernel text by the name that #include gives them, such as "ops/gpu/portable.cuh".
using SourceMap = std::map<std::string, std::string_view, std::less<>>;

/// One compilation: a file with its specialisation. The name says all of it, because it is what people and the cache see:
/// "linear_decode<fp8,block,rows=8>".
struct Unit {
  std::string name;
  std::string file;  ///< key of the SourceMap
  std::vector<std::pair<std::string, std::string>> defines;
  bool operator==(const Unit&) const = default;
};

using CodeObject = std::vector<std::byte>;

/// One way of making code objects. compile() may be called from several threads.
class Compiler {
 public:
  virtual ~Compiler() = default;
  /// Name and version, for people and as part of the cache key: "NVRTC 13.0", "clang 19.1.7".
  virtual std::string identity() const = 0;
  /// Options that every unit gets for `arch`, part of the cache key.
  virtual std::vector<std::string> options(std::string_view arch) const = 0;
  /// Errors: internal with the unit, the arch, the options and the compiler's own text.
  virtual CodeObject compile(const Unit& unit, const SourceMap& sources, std::string_view arch) const = 0;
};

/// NVRTC for sm_*, hipRTC or clang for gfx*: the first that is there. ISOTOPE_NVRTC_LIBRARY, ISOTOPE_HIPRTC_LIBRARY and
/// ISOTOPE_CLANG name a file to use instead. Errors: not_found, saying what was looked for and what to install.
std::unique_ptr<Compiler> open_compiler(std::string_view arch);

/// Where code objects are kept: ISOTOPE_CACHE, or $XDG_CACHE_HOME/isotope/kernels, or ~/.cache/isotope/kernels; empty, which
/// keeps nothing, where there is no home.
std::filesystem::path default_cache();

struct BuildStats {
  std::int64_t compiled = 0, from_cache = 0;
  double seconds = 0;
};

/// Compiles units for one arch, or finds them in the cache. Thread-safe.
class Builder {
 public:
  /// `sources` must outlive this. An empty `cache` keeps nothing. `jobs` ≤ 0: as many at a time as there are cores.
  Builder(std::unique_ptr<Compiler> compiler, const SourceMap& sources, std::string arch,
          std::filesystem::path cache, int jobs = 0);

  /// In the order of `units`, compiled in parallel; progress(done, total, name) is called by one thread at a time. The
  /// first error ends the build, after what was being compiled.
  std::vector<CodeObject> build(
      std::span<const Unit> units,
      const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress = {});
  const std::string& arch() const { return arch_; }
  const Compiler& compiler() const { return *compiler_; }
  BuildStats stats() const;

 private:
  CodeObject find_or_compile(const Unit& unit);

  std::unique_ptr<Compiler> compiler_;
  const SourceMap& sources_;
  std::string arch_;
  int jobs_;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace isotope::jit
