#include "server/access.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "server/api_error.h"
#include "server/usage.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxRequestId = 128;

bool is_id_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("-_.:/+=@").find(c) != std::string_view::npos;
}

}  // namespace

void check_key(const std::vector<std::string>& keys, std::string_view authorization,
               std::string_view x_api_key) {
  if (keys.empty()) return;
  constexpr std::string_view kScheme = "Bearer ";
  const bool bearer = authorization.starts_with(kScheme);
  const std::string_view token = bearer ? authorization.substr(kScheme.size()) : std::string_view();
  bool known = false;
  for (const std::string& key : keys) {
    known |= same_secret(token, key);
    known |= same_secret(x_api_key, key);
  }
  if (!known)
    throw ApiError(401,
                   "the API key is missing or wrong; send \"Authorization: Bearer KEY\" or "
                   "\"x-api-key: KEY\"",
                   {}, "invalid_api_key")
        .with_header("WWW-Authenticate", "Bearer");
}

bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() != b.size();
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= unsigned(a[i] ^ (b.empty() ? '\0' : b[i % b.size()]));
  return difference == 0;
}

std::string request_id(std::string_view x_request_id) {
  if (x_request_id.empty()) return new_id("");
  if (x_request_id.size() > kMaxRequestId ||
      !std::all_of(x_request_id.begin(), x_request_id.end(), is_id_character))
    throw ApiError(400,
                   fmt::format("X-Request-Id: must be at most {} letters, digits and -_.:/+=@; "
                               "leave it out to get one",
                               kMaxRequestId),
                   "X-Request-Id");
  return std::string(x_request_id);
}

std::string_view without_root(std::string_view target, std::string_view root) {
  if (root.empty() || !target.starts_with(root)) return target;
  const std::string_view rest = target.substr(root.size());
  return rest.starts_with('/') ? rest : target;
}

std::string normal_root(std::string_view root) {
  while (root.ends_with('/')) root.remove_suffix(1);
  if (root.find_first_of("?# \t\r\n") != std::string_view::npos)
    fail(ErrorCode::invalid_argument,
         "--root-path: '{}' cannot begin a path; give what the proxy puts in front, such as /llm",
         root);
  if (root.empty()) return {};
  return root.starts_with('/') ? std::string(root) : fmt::format("/{}", root);
}

}  // namespace isotope::server
