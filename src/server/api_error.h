// What a client is told when its request fails: its protocol's error object with the HTTP status
// that fits.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isotope::server {

/// Ends one request. `param` names the field at fault ("messages[2].role"), `code` is OpenAI's
/// machine-readable word
/// ("context_length_exceeded"); both may be empty and are null in the answer then.
class ApiError : public std::runtime_error {
 public:
  ApiError(int status, std::string message, std::string param = {}, std::string code = {})
      : std::runtime_error(std::move(message)),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)) {}

  int status() const { return status_; }
  const std::string& param() const { return param_; }
  const std::string& code() const { return code_; }
  /// A response header that belongs to the error ("Allow", "POST").
  ApiError& with_header(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  const std::vector<std::pair<std::string, std::string>>& headers() const { return headers_; }

 private:
  int status_;
  std::string param_, code_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

/// Any exception as an ApiError: isotope::Error by its code, everything else as 500 (without its
/// text, which may speak of our insides).
ApiError to_api_error(const std::exception_ptr& exception);

/// Each protocol has its own way to say what went wrong.
enum class ErrorForm {
  openai,    ///< {"error": {"message", "type", "param", "code"}}
  anthropic  ///< {"type": "error", "error": {"type", "message"}, "request_id"}
};

std::string error_body(const ApiError& error, ErrorForm form = ErrorForm::openai,
                       std::string_view request_id = {});

/// "Bad Request" for 400 and so on.
std::string_view reason_phrase(int status);

}  // namespace isotope::server
