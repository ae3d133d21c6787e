#include "jit/rtc.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "jit/sources.h"

namespace isotope::jit {
namespace {

using Program = void*;

/// The functions of nvrtc.h and hiprtc.h that we use, in our own declarations; every result is 0 or
/// an error's number.
struct Functions {
  int (*version)(int* major, int* minor);
  const char* (*error_string)(int result);
  int (*create)(Program* program, const char* text, const char* name, int headers,
                const char* const* header_texts, const char* const* header_names);
  int (*destroy)(Program* program);
  int (*compile)(Program program, int count, const char* const* options);
  int (*code_size)(Program program, std::size_t* bytes);
  int (*code)(Program program, char* code);
  int (*log_size)(Program program, std::size_t* bytes);
  int (*log)(Program program, char* text);
};

/// Stays loaded until the process ends: these libraries keep threads and caches that do not survive
/// unloading.
class RtcCompiler final : public Compiler {
 public:
  RtcCompiler(void* library, const std::string& file, const RtcFlavour& flavour)
      : flavour_(flavour) {
    load(library, file, "Version", functions_.version);
    load(library, file, "GetErrorString", functions_.error_string);
    load(library, file, "CreateProgram", functions_.create);
    load(library, file, "DestroyProgram", functions_.destroy);
    load(library, file, "CompileProgram", functions_.compile);
    load(library, file, "Get" + flavour.code + "Size", functions_.code_size);
    load(library, file, "Get" + flavour.code, functions_.code);
    load(library, file, "GetProgramLogSize", functions_.log_size);
    load(library, file, "GetProgramLog", functions_.log);
    int major = 0, minor = 0;
    functions_.version(&major, &minor);
    identity_ = fmt::format("{} {}.{}", flavour.name, major, minor);
    // Builds of one version differ; size and date of the file tell them apart.
    Dl_info info{};
    struct stat status {};
    if (::dladdr(reinterpret_cast<void*>(functions_.compile), &info) != 0 && info.dli_fname &&
        ::stat(info.dli_fname, &status) == 0)
      identity_ += fmt::format(" ({}, {} bytes of {})",
                               std::filesystem::path(info.dli_fname).filename().string(),
                               status.st_size, status.st_mtime);
  }

  std::string identity() const override { return identity_; }
  std::vector<std::string> options(std::string_view arch) const override {
    return flavour_.options(arch);
  }

  CodeObject compile(const Unit& unit, const SourceMap& sources,
                     std::string_view arch) const override {
    std::vector<std::string> all = options(arch);
    for (std::string& define : define_options(unit)) all.push_back(std::move(define));
    Program program = create(unit, sources);
    const auto destroy = [this](Program* p) { functions_.destroy(p); };
    const std::unique_ptr<Program, decltype(destroy)> owner(&program, destroy);
    std::vector<const char*> pointers;
    for (const std::string& option : all) pointers.push_back(option.c_str());
    const int result = functions_.compile(program, int(pointers.size()), pointers.data());
    if (result != 0)
      compilation_failed(
          unit, arch, identity_, all,
          fmt::format("{}\n{}", functions_.error_string(result), text_of_log(program)));
    std::size_t bytes = 0;
    check(functions_.code_size(program, &bytes), unit);
    CodeObject code(bytes);
    check(functions_.code(program, reinterpret_cast<char*>(code.data())), unit);
    return code;
  }

 private:
  template <typename Function>
  void load(void* library, const std::string& file, const std::string& name, Function& function) {
    const std::string symbol = flavour_.prefix + name;
    function = reinterpret_cast<Function>(::dlsym(library, symbol.c_str()));
    if (!function)
      fail(ErrorCode::unsupported, "{} has no function {}: is it {}?", file, symbol, flavour_.name);
  }

  void check(int result, const Unit& unit) const {
    if (result != 0)
      fail(ErrorCode::internal, "{}: {}: {}", identity_, unit.name,
           functions_.error_string(result));
  }

  Program create(const Unit& unit, const SourceMap& sources) const {
    std::string text;
    std::vector<std::string> names,
        texts;  // with the zero bytes at their ends that these functions want
    for (const auto& [name, content] : include_closure(sources, unit)) {
      if (name == unit.file) text = content;
      names.push_back(name);
      texts.emplace_back(content);
    }
    std::vector<const char*> name_pointers, text_pointers;
    for (const std::string& name : names) name_pointers.push_back(name.c_str());
    for (const std::string& content : texts) text_pointers.push_back(content.c_str());
    Program program = nullptr;
    check(functions_.create(&program, text.c_str(), unit.file.c_str(), int(names.size()),
                            text_pointers.data(), name_pointers.data()),
          unit);
    return program;
  }

  std::string text_of_log(Program program) const {
    std::size_t bytes = 0;
    if (functions_.log_size(program, &bytes) != 0 || bytes == 0) return {};
    std::string text(bytes, '\0');
    if (functions_.log(program, text.data()) != 0) return {};
    return text.substr(0, text.find('\0'));
  }

  RtcFlavour flavour_;
  Functions functions_{};
  std::string identity_;
};

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> versioned_paths(const std::string& folder, const std::string& prefix,
                                         const std::string& suffix) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with(prefix))
      found.push_back(entry.path().string() + suffix);
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::unique_ptr<Compiler> open_rtc(const RtcFlavour& flavour, std::string& tried) {
  const std::string named = environment(flavour.variable);
  const std::vector<std::string> libraries =
      named.empty() ? flavour.libraries : std::vector<std::string>{named};
  for (const std::string& file : libraries) {
    if (void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL))
      return std::make_unique<RtcCompiler>(library, file, flavour);
    if (!named.empty()) {
      const char* reason = ::dlerror();
      fail(ErrorCode::not_found, "{}={}: {}", flavour.variable, named,
           reason ? reason : "cannot be loaded");
    }
    tried += (tried.empty() ? "" : ", ") + file;
  }
  return nullptr;
}

}  // namespace isotope::jit
