#include "weights/hub/names.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace isotope::weights::hub {
namespace {

constexpr std::size_t kMaxName = 1024;      // of a path; Linux allows 4096 with the cache's folder
constexpr std::size_t kMaxComponent = 255;  // what file systems allow

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// For messages: what a terminal would act on is written as \xNN.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 120))
    is_control(c) ? out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : out += c;
  return out;
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = path.find('/', begin);
    parts.push_back(path.substr(begin, end - begin));
    if (end == path.npos) return parts;
    begin = end + 1;
  }
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxName) return false;
  if (std::any_of(path.begin(), path.end(), [](char c) { return is_control(c) || c == '\\'; }))
    return false;
  const auto parts = components(path);
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    return !part.empty() && part != "." && part != ".." && part.size() <= kMaxComponent;
  });
}

bool is_repo_word(std::string_view word) {
  if (word.empty() || word.size() > 96) return false;
  if (!is_alphanumeric(word.front()) && word.front() != '_') return false;
  return word.find("..") == word.npos && word.find("--") == word.npos &&
         std::all_of(word.begin(), word.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&name](std::string pattern) {
    if (pattern.ends_with('/')) pattern += '*';
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

/// Mistral's repositories carry the same weights twice; the loader prefers this form.
bool has_model_weights(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "model.safetensors" || name == "model.safetensors.index.json";
  });
}

bool serving_needs(const std::string& name, bool skip_consolidated) {
  if (name.find('/') != name.npos) return false;
  if (skip_consolidated && name.starts_with("consolidated")) return false;
  return name.ends_with(".json") || name.ends_with(".jinja") || name.ends_with(".safetensors");
}

}  // namespace

bool is_repo_id(std::string_view text) {
  const auto parts = components(text);
  return parts.size() <= 2 && std::all_of(parts.begin(), parts.end(), is_repo_word);
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

void check_repo_id(std::string_view repo) {
  if (!is_repo_id(repo))
    fail(ErrorCode::invalid_argument,
         "'{}' is no name of a repository; expected org/name such as Qwen/Qwen3-8B-FP8",
         printable(repo));
}

void check_revision(std::string_view revision) {
  if (!is_safe_path(revision))
    fail(ErrorCode::invalid_argument, "'{}' is no revision; expected a branch, a tag or a commit",
         printable(revision));
}

void check_file_name(std::string_view name) {
  if (!is_safe_path(name))
    fail(ErrorCode::corrupt_data,
         "the repository holds a file named '{}', which could be written outside of the cache; "
         "nothing was downloaded (--exclude can leave it out)",
         printable(name));
}

std::string normalize_etag(std::string_view header) {
  std::string_view etag = header;
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  const bool plain = std::all_of(etag.begin(), etag.end(), [](char c) {
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
  });
  if (etag.empty() || etag.size() > 128 || !plain || etag.front() == '.')
    fail(ErrorCode::corrupt_data, "the hub sent the ETag '{}', which cannot name a file",
         printable(header));
  return std::string(etag);
}

std::string url_quote(std::string_view text, bool keep_slashes) {
  std::string out;
  for (const char c : text) {
    const bool plain = is_alphanumeric(c) || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain || (c == '/' && keep_slashes))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string origin_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) return {};
  std::string origin(url.substr(0, url.find_first_of("/?#", scheme + 3)));
  // A name in front of the host is no part of the origin, and must not pass for a host.
  if (const std::size_t at = origin.rfind('@'); at != origin.npos)
    origin.erase(scheme + 3, at - scheme - 2);
  for (char& c : origin)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  const std::string_view standard = origin.starts_with("https:") ? ":443" : ":80";
  if (origin.ends_with(standard)) origin.resize(origin.size() - standard.size());
  return origin;
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (!header.starts_with(kUnit)) return std::nullopt;
  header.remove_prefix(kUnit.size());
  const char *at = header.data(), *const end = at + header.size();
  ContentRange range;
  const auto number = [&at, end](std::int64_t& value, char separator) {
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0) return false;
    if (separator == 0) return rest == end;
    if (rest == end || *rest != separator) return false;
    at = rest + 1;
    return true;
  };
  if (!number(range.first, '-') || !number(range.last, '/') || !number(range.total, 0))
    return std::nullopt;
  if (range.first > range.last || range.last >= range.total) return std::nullopt;
  return range;
}

std::vector<std::string> select_files(const std::vector<std::string>& names,
                                      const Selection& selection) {
  const bool skip_consolidated = has_model_weights(names);
  std::vector<std::string> chosen;
  for (const std::string& name : names) {
    const bool wanted = !selection.include.empty()
                            ? matches_any(selection.include, name)
                            : selection.all || serving_needs(name, skip_consolidated);
    if (wanted && !matches_any(selection.exclude, name)) chosen.push_back(name);
  }
  for (const std::string& name : chosen) check_file_name(name);
  return chosen;
}

}  // namespace isotope::weights::hub
