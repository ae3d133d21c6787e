#include "server/api_error.h"

#include <boost/json/serialize.hpp>
#include <new>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "text/utf8.h"

namespace isotope::server {
namespace {

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::corrupt_data:
    case ErrorCode::unsupported:
      return 400;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::out_of_memory:
    case ErrorCode::unavailable:
    case ErrorCode::cancelled:
      return 503;
    case ErrorCode::internal:
      break;
  }
  return 500;
}

/// OpenAI's words for the kinds of failure.
std::string_view type_of(int status) {
  if (status == 401) return "authentication_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

std::string_view anthropic_type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
    case 405:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::value(text);
}

}  // namespace

ApiError to_api_error(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const ApiError& error) {
    return error;
  } catch (const Error& error) {
    return ApiError(status_of(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return ApiError(503, "out of memory; send a smaller request or try again later");
  } catch (const std::exception& error) {
    log_error("server", "a request failed: {}", error.what());
  } catch (...) {
    log_error("server", "a request failed with an unknown exception");
  }
  return ApiError(500, "internal error; the server's log says more");
}

std::string error_body(const ApiError& error, ErrorForm form, std::string_view request_id) {
  // Messages quote what clients sent, possibly cut in the middle of a character.
  const std::string message = text::replace_invalid_utf8(error.what());
  json::object details, body;
  if (form == ErrorForm::anthropic) {
    details["type"] = anthropic_type_of(error.status());
    details["message"] = message;
    body["type"] = "error";
    body["error"] = std::move(details);
    body["request_id"] = request_id;
    return json::serialize(body);
  }
  details["message"] = message;
  details["type"] = type_of(error.status());
  details["param"] = text_or_null(text::replace_invalid_utf8(error.param()));
  details["code"] = text_or_null(error.code());
  body["error"] = std::move(details);
  return json::serialize(body);
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

}  // namespace isotope::server
