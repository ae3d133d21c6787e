#include "cli/bench/url.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"

namespace isotope::cli {
namespace {

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What would end the request line or a header early.
bool is_unprintable(char c) { return std::uint8_t(c) <= 0x20 || c == 0x7f; }

}  // namespace

std::string Url::authority() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Url parse_url(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("https://"))
    fail(ErrorCode::unsupported,
         "{}: this program speaks no TLS; measure the server behind its TLS proxy, by http://",
         text);
  if (!rest.starts_with("http://") || std::any_of(text.begin(), text.end(), is_unprintable))
    fail(ErrorCode::invalid_argument, "URL '{}': expected http://HOST[:PORT][/PATH]", text);
  rest.remove_prefix(7);
  Url url;
  const std::string_view authority = rest.substr(0, rest.find('/'));
  url.path = rest.substr(authority.size());
  while (url.path.ends_with('/')) url.path.pop_back();
  std::string_view port = "80";
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    url.host = authority.substr(1, end == std::string_view::npos ? end : end - 1);
    const std::string_view after =
        end == std::string_view::npos ? std::string_view("?") : authority.substr(end + 1);
    if (!after.empty()) port = after.starts_with(':') ? after.substr(1) : std::string_view();
  } else {
    const auto colon = authority.find(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (url.host.empty() || !is_port(port) || url.path.find_first_of("?#") != std::string::npos)
    fail(ErrorCode::invalid_argument, "URL '{}': expected http://HOST[:PORT][/PATH]", text);
  url.port = port;
  return url;
}

std::string join_target(const Url& base, std::string_view endpoint) {
  std::string_view path = base.path;
  if (path.ends_with("/v1") && endpoint.starts_with("/v1/")) path.remove_suffix(3);
  return fmt::format("{}{}", path, endpoint);
}

}  // namespace isotope::cli
