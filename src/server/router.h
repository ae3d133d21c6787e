// Which endpoint a request is for. Decided on the request line alone, before a body is read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/api_error.h"
#include "server/endpoints.h"

namespace isotope::server {

/// One of `handle`, `show` and `tell` is set.
struct Route {
  /// Answers on a worker thread, from the body (POST).
  std::unique_ptr<Exchange> (*handle)(const Call&) = nullptr;
  /// Answers at once, without body (GET).
  std::function<Response(const Service&)> show;
  /// Likewise, and needs no model: also while it is loaded.
  std::function<Response(const ServerState&)> tell;
  /// Needs no API key: what probes and scrapers ask for.
  bool open = false;
};

/// `target` as in the request line; a query is ignored. HEAD counts as GET.
/// Errors: ApiError 404 with the paths there are, 405 with the right method.
Route find_route(std::string_view method, std::string_view target);

/// How errors of requests for `target` are told, also where there is nothing.
ErrorForm error_form(std::string_view target);

}  // namespace isotope::server
