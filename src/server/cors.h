// Which web pages of other origins may read answers: cross-origin resource sharing, as browsers ask
// for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/exchange.h"

namespace isotope::server {

/// As vLLM's flags of the same names. "*" stands for all.
struct CorsOptions {
  /// "https://chat.example.org". None by default: a page that a user happens to visit could
  /// otherwise use a server on their machine.
  std::vector<std::string> allowed_origins;
  std::vector<std::string> allowed_methods = {"*"}, allowed_headers = {"*"};
  bool allow_credentials = false;
};

/// What the header fields Origin and Access-Control-Request-* of a preflight say.
struct Preflight {
  std::string_view origin, method, headers;
};

/// Errors: invalid_argument for an origin that no browser sends ("example.org/", a path).
void check_cors_options(const CorsOptions& options);

/// Header fields for an answer to a request with this Origin (empty: none).
Headers cors_headers(const CorsOptions& options, std::string_view origin);

/// Errors: ApiError 403 naming what is not allowed, and the flag that allows it.
Response answer_preflight(const CorsOptions& options, const Preflight& request);

}  // namespace isotope::server
