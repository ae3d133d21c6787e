#include "jit/sources.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace isotope::jit {
namespace {

std::string_view skip_blanks(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

/// NAME of a line `#include "NAME"`, or nothing.
std::string_view included_name(std::string_view line) {
  line = skip_blanks(line);
  if (!line.starts_with('#')) return {};
  line = skip_blanks(line.substr(1));
  if (!line.starts_with("include")) return {};
  line = skip_blanks(line.substr(7));
  if (!line.starts_with('"')) return {};
  line.remove_prefix(1);
  return line.substr(0, line.find('"'));
}

void collect(const SourceMap& sources, SourceMap::const_iterator file, SourceMap& closure) {
  if (!closure.insert(*file).second) return;
  std::string_view text = file->second;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    const auto included = sources.find(included_name(text.substr(0, end)));
    if (included != sources.end()) collect(sources, included, closure);
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::vector<SourceMap::value_type> include_closure(const SourceMap& sources, const Unit& unit) {
  const auto file = sources.find(unit.file);
  if (file == sources.end())
    fail(ErrorCode::internal, "{}: this program holds no kernel text {}", unit.name, unit.file);
  SourceMap closure;
  collect(sources, file, closure);
  return {closure.begin(), closure.end()};
}

std::vector<std::string> define_options(const Unit& unit) {
  std::vector<std::string> options;
  for (const auto& [name, value] : unit.defines) options.push_back("-D" + name + "=" + value);
  return options;
}

void compilation_failed(const Unit& unit, std::string_view arch, std::string_view compiler,
                        const std::vector<std::string>& options, std::string_view text) {
  constexpr std::size_t kMost = 6000;  // the first errors tell; the rest follows from them
  fail(ErrorCode::internal, "{} ({}) does not compile for {} with {}\noptions: {}\n{}{}", unit.name,
       unit.file, arch, compiler, fmt::join(options, " "), text.substr(0, kMost),
       text.size() > kMost ? fmt::format("\n… {} more bytes", text.size() - kMost) : "");
}

}  // namespace isotope::jit
