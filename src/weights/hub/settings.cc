#include "weights/hub/settings.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace isotope::weights::hub {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// "~/x" as Python's expanduser reads it.
fs::path expand(const std::string& path) {
  const std::string home = variable("HOME");
  if (home.empty() || (path != "~" && !path.starts_with("~/"))) return path;
  return home + path.substr(1);
}

fs::path hub_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return expand(home);
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return expand(cache) / "huggingface";
  if (variable("HOME").empty())
    fail(ErrorCode::invalid_argument,
         "neither HF_HOME nor HOME is set: set HF_HOME to the folder that shall keep models");
  return expand("~") / ".cache" / "huggingface";
}

bool is_true(const char* name) {
  std::string value = variable(name);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string trim(const std::string& text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

void find_token(Settings& settings, const fs::path& home) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
    if (const std::string token = trim(variable(name)); !token.empty())
      return set_token(settings, token, name);
  const std::string given = variable("HF_TOKEN_PATH");
  const fs::path path = given.empty() ? home / "token" : expand(given);
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return;
  constexpr std::size_t kMaxToken = 64 << 10;
  if (const std::string token = trim(read_file(path, kMaxToken)); !token.empty())
    set_token(settings, token, path.string());
}

}  // namespace

void set_token(Settings& settings, std::string token, std::string source) {
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
    fail(ErrorCode::invalid_argument, "the token of {} holds spaces or control characters", source);
  settings.token = std::move(token);
  settings.token_source = std::move(source);
}

Settings settings_from_environment() {
  Settings settings;
  if (std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://"))
      fail(ErrorCode::invalid_argument, "HF_ENDPOINT {}: expected a URL such as {}", endpoint,
           settings.endpoint);
    settings.endpoint = std::move(endpoint);
  }
  std::string cache = variable("HF_HUB_CACHE");
  if (cache.empty()) cache = variable("HUGGINGFACE_HUB_CACHE");
  // Only a cache elsewhere makes a home dispensable; the token lives in the home.
  const fs::path home = cache.empty() || !variable("HF_HOME").empty() || !variable("HOME").empty()
                            ? hub_home()
                            : fs::path();
  settings.cache = cache.empty() ? home / "hub" : expand(cache);
  find_token(settings, home);
  settings.offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
  return settings;
}

}  // namespace isotope::weights::hub
