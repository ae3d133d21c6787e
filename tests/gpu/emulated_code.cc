#include "tests/gpu/emulated_code.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace isotope::emulated {
namespace {

namespace fs = std::filesystem;

/// The repository: its headers below tests/gpu are part of every compilation.
fs::path source_root() {
  const char* root = std::getenv("ISOTOPE_EMULATED_ROOT");
  return root ? root : ISOTOPE_SOURCE_ROOT;
}

/// A folder of its own that is gone afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "isotope-emulated-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!std::getenv("ISOTOPE_EMULATED_KEEP")) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void write_file(const fs::path& folder, const std::string& name, const std::string& text) {
  const fs::path file = (folder / name).lexically_normal();
  if (fs::path(name).is_absolute() || file.string().rfind(folder.string(), 0) != 0)
    throw std::runtime_error("a source file outside the folder of its compilation: " + name);
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// -DX, --define-macro=X and "-D", "X".
std::vector<std::string> macros(const std::vector<std::string>& options) {
  const std::string longer = "--define-macro=";
  std::vector<std::string> result;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (options[i] == "-D" && i + 1 < options.size())
      result.push_back("-D" + options[++i]);
    else if (options[i].rfind("-D", 0) == 0)
      result.push_back(options[i]);
    else if (options[i].rfind(longer, 0) == 0)
      result.push_back("-D" + options[i].substr(longer.size()));
  }
  return result;
}

bool run_compiler(const std::vector<std::string>& words, const fs::path& log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int failed =
      posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) {
    std::ofstream(log) << "cannot run " << words[0] << ": " << std::strerror(failed) << "\n";
    return false;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Compiled compile_in(const fs::path& folder, const fs::path& file, const fs::path& include,
                    const std::vector<std::string>& options) {
  const char* compiler = std::getenv("ISOTOPE_EMULATED_CXX");
  const fs::path output = folder / "code.so", log = folder / "log.txt";
  std::vector<std::string> words = {compiler ? compiler : "g++", "-std=c++20", "-O1", "-g1", "-w"};
  // Wide registers where this machine has them; results stay the same, as nothing is contracted.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    words.insert(words.end(), {"-mavx2", "-mfma"});
  words.insert(words.end(),
               {"-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-fno-exceptions",
                "-fno-rtti", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique",
                "-fdebug-prefix-map=" + folder.string() + "=src", "-DISOTOPE_EMULATED=1"});
  for (const std::string& macro : macros(options)) words.push_back(macro);
  words.insert(words.end(), {"-I" + include.string(), "-I" + source_root().string(), "-x", "c++",
                             file.string(), "-o", output.string()});
  Compiled result;
  result.ok = run_compiler(words, log);
  result.log = read_file(log);
  if (result.ok) {
    const std::string code = read_file(output);
    const auto* bytes = reinterpret_cast<const std::byte*>(code.data());
    result.code.assign(bytes, bytes + code.size());
    result.ok = !result.code.empty();
  }
  return result;
}

/// Size of the thread-local segment: static shared memory.
std::size_t thread_local_bytes(std::span<const std::byte> code) {
  Elf64_Ehdr header;
  std::memcpy(&header, code.data(), sizeof(header));
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    const std::size_t at = header.e_phoff + std::size_t(i) * header.e_phentsize;
    if (at + sizeof(segment) > code.size()) break;
    std::memcpy(&segment, code.data() + at, sizeof(segment));
    if (segment.p_type == PT_TLS) return segment.p_memsz;
  }
  return 0;
}

}  // namespace

Compiled compile(const std::string& name, const std::string& text,
                 const std::map<std::string, std::string>& headers,
                 const std::vector<std::string>& options) {
  const TemporaryFolder folder;
  const fs::path sources = folder.path() / "src";
  for (const auto& [header, content] : headers) write_file(sources, header, content);
  write_file(sources, name, text);
  return compile_in(folder.path(), sources / name, sources, options);
}

Compiled compile_file(const fs::path& file, const std::vector<std::string>& options) {
  const TemporaryFolder folder;
  return compile_in(folder.path(), file.is_absolute() ? file : source_root() / file,
                    source_root() / "src", options);
}

LoadedCode::LoadedCode(std::span<const std::byte> code) {
  if (code.size() < sizeof(Elf64_Ehdr) || std::memcmp(code.data(), ELFMAG, SELFMAG) != 0)
    throw std::runtime_error("not code of the emulated GPU");
  // The file stays open: the loader knows libraries by their names, and this name holds the
  // descriptor.
  file_ = memfd_create("isotope-kernels", MFD_CLOEXEC);
  std::size_t written = 0;
  while (file_ >= 0 && written < code.size()) {
    const ssize_t count = write(file_, code.data() + written, code.size() - written);
    if (count <= 0) break;
    written += std::size_t(count);
  }
  if (written == code.size()) {
    const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file_);
    library_ = dlopen(path.c_str(), RTLD_LOCAL | RTLD_NOW);
  }
  if (library_) touch_ = reinterpret_cast<void* (*)()>(dlsym(library_, "isotope_touch_shared"));
  if (!touch_) {
    const char* reason = library_ ? "no kernel text of ours" : dlerror();
    const std::string why = reason ? reason : "cannot write the code to memory";
    if (library_) dlclose(library_);
    if (file_ >= 0) close(file_);
    throw std::runtime_error(why);
  }
  shared_memory_bytes_ = thread_local_bytes(code);
}

LoadedCode::~LoadedCode() {
  dlclose(library_);
  close(file_);
}

void* LoadedCode::shared_memory(const void* code) {
  const auto* self = static_cast<const LoadedCode*>(code);
  self->touch_();  // allocates this thread's copy
  void* memory = nullptr;
  dlinfo(self->library_, RTLD_DI_TLS_DATA, &memory);
  return memory;
}

const Function* LoadedCode::find_or_null(const std::string& name) const {
  if (const auto known = functions_.find(name); known != functions_.end()) return &known->second;
  void* entry = dlsym(library_, name.c_str());
  const auto* bytes =
      static_cast<const unsigned*>(dlsym(library_, (name + "_params_bytes").c_str()));
  const auto* threads =
      static_cast<const unsigned*>(dlsym(library_, (name + "_max_threads").c_str()));
  if (!entry || !bytes || !threads) return nullptr;
  Function function;
  function.name = name;
  function.entry = reinterpret_cast<void (*)(const void*)>(entry);
  function.params_bytes = *bytes;
  function.max_threads = *threads;
  function.shared_memory = &shared_memory;
  function.shared_memory_bytes = shared_memory_bytes_;
  function.code = this;
  return &functions_.emplace(name, function).first->second;
}

const Function& LoadedCode::find(const std::string& name) const {
  const Function* function = find_or_null(name);
  if (!function) throw std::runtime_error("no kernel " + name);
  return *function;
}

}  // namespace isotope::emulated
