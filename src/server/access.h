// What the header of a request decides before its body is read: which path it means, whose it is,
// and how it is called in logs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace isotope::server {

/// Errors: ApiError 401 unless `authorization` ("Bearer KEY", OpenAI's way) or `x_api_key`
/// (Anthropic's) holds one of `keys`. The time it takes tells nothing about which key, or how much
/// of it, was right.
void check_key(const std::vector<std::string>& keys, std::string_view authorization,
               std::string_view x_api_key);

/// Compares in a time that depends on the lengths only.
bool same_secret(std::string_view a, std::string_view b);

/// The request's id: its X-Request-Id, or a new one if that is empty. Ids end up in headers, logs
/// and answers. Errors: ApiError 400 if it is longer than 128 characters or has others than
/// letters, digits and -_.:/+=@.
std::string request_id(std::string_view x_request_id);

/// `target` without `root` ("/llm", or empty) in front of it, where it stands there: proxies may
/// pass a prefix on or take it away.
std::string_view without_root(std::string_view target, std::string_view root);

/// "llm/" to "/llm", "/" to "". Errors: invalid_argument for what cannot begin a path.
std::string normal_root(std::string_view root);

}  // namespace isotope::server
