#include "server/cors.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "server/api_error.h"

namespace isotope::server {
namespace {

/// Seconds that a browser may remember the answer to a preflight.
constexpr std::string_view kMaxAge = "600";
constexpr std::string_view kMethods = "GET, HEAD, OPTIONS, POST";

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [lower](char x, char y) { return lower(x) == lower(y); });
}

bool allows(const std::vector<std::string>& allowed, std::string_view word) {
  return std::any_of(allowed.begin(), allowed.end(), [word](const std::string& each) {
    return each == "*" || same_word(each, word);
  });
}

bool allows_all(const std::vector<std::string>& allowed) {
  return std::find(allowed.begin(), allowed.end(), "*") != allowed.end();
}

[[noreturn]] void refuse(std::string_view what, std::string_view value, std::string_view flag) {
  throw ApiError(403, fmt::format("the {} '{}' is not allowed for pages of other origins; start "
                                  "the server with {} to allow it",
                                  what, value.substr(0, 100), flag));
}

/// Header names that every page may send without asking.
bool is_always_allowed(std::string_view name) {
  return same_word(name, "accept") || same_word(name, "accept-language") ||
         same_word(name, "content-language") || same_word(name, "content-type");
}

void check_headers(const CorsOptions& options, std::string_view names) {
  while (!names.empty()) {
    std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty() && !is_always_allowed(name) && !allows(options.allowed_headers, name))
      refuse("header", name, "--allowed-headers");
  }
}

}  // namespace

void check_cors_options(const CorsOptions& options) {
  for (const std::string& origin : options.allowed_origins) {
    if (origin == "*" || origin == "null") continue;
    const std::size_t scheme = origin.find("://");
    if (scheme == std::string::npos || scheme == 0 || scheme + 3 == origin.size() ||
        origin.find_first_of("/ ,*", scheme + 3) != std::string::npos)
      fail(ErrorCode::invalid_argument,
           "--allowed-origins: '{}' is no origin; write scheme, host and, if it is not the usual "
           "one, port, such as https://chat.example.org or http://localhost:3000, or * for all",
           origin);
  }
}

Headers cors_headers(const CorsOptions& options, std::string_view origin) {
  if (origin.empty() || options.allowed_origins.empty()) return {};
  Headers headers;
  // Browsers accept no "*" together with credentials.
  const bool any = allows_all(options.allowed_origins) && !options.allow_credentials;
  if (!any) headers.emplace_back("Vary", "Origin");
  if (!allows(options.allowed_origins, origin)) return headers;
  headers.emplace_back("Access-Control-Allow-Origin", any ? "*" : std::string(origin));
  if (options.allow_credentials) headers.emplace_back("Access-Control-Allow-Credentials", "true");
  headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  return headers;
}

Response answer_preflight(const CorsOptions& options, const Preflight& request) {
  if (!allows(options.allowed_origins, request.origin))
    refuse("origin", request.origin, "--allowed-origins");
  if (!allows(options.allowed_methods, request.method))
    refuse("method", request.method, "--allowed-methods");
  check_headers(options, request.headers);
  Response response{.content_type = "text/plain"};
  const bool all_methods = allows_all(options.allowed_methods);
  response.headers.emplace_back("Access-Control-Allow-Methods",
                                all_methods
                                    ? std::string(kMethods)
                                    : fmt::format("{}", fmt::join(options.allowed_methods, ", ")));
  // What was asked for has been checked; browsers take no "*" for Authorization.
  if (!request.headers.empty())
    response.headers.emplace_back("Access-Control-Allow-Headers", std::string(request.headers));
  response.headers.emplace_back("Access-Control-Max-Age", std::string(kMaxAge));
  return response;
}

}  // namespace isotope::server
