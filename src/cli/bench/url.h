// Where a server is: "http://host:port/prefix".
#pragma once

#include <string>
#include <string_view>

namespace isotope::cli {

struct Url {
  std::string host, port, path;  ///< path: without a slash at its end; may be empty

  /// For the Host header: IPv6 addresses in brackets.
  std::string authority() const;
};

/// Errors: invalid_argument naming the text, for anything but http.
Url parse_url(std::string_view text);

/// base path + endpoint. Clients' base URLs end with /v1 by habit, and so begin the endpoints: it
/// is not doubled.
std::string join_target(const Url& base, std::string_view endpoint);

}  // namespace isotope::cli
