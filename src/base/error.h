// Errors that end one command or one request. Assertions (ISOTOPE_ASSERT) are for our own bugs.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace isotope {

/// What went wrong, as far as a caller decides by it: the server maps these to HTTP statuses.
enum class ErrorCode {
  invalid_argument,  ///< the user or the request asked for something that cannot be
  not_found,         ///< a file, model or tensor that should be there is not
  corrupt_data,      ///< a file breaks its format
  unsupported,       ///< well-formed, but not something that this program does
  out_of_memory,     ///< a plan or an allocation does not fit
  unavailable,       ///< shutting down, queue full
  cancelled,
  internal,
};

/// A message names the thing, the value and the next step.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string message)
      : std::runtime_error(std::move(message)), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace isotope

/// Stays on in release builds: it guards memory, and costs nothing where it is used.
#define ISOTOPE_ASSERT(expression) \
  ((expression) ? void(0) : ::isotope::assertion_failed(#expression, __FILE__, __LINE__))
