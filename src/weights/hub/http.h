// One HTTP exchange at a time over libcurl, which is loaded when the first is asked for.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::weights::hub {

struct HttpResponse {
  int status = 0;                              ///< 0: there was no answer
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string redirect_url;                    ///< absolute; set with a Location
  std::int64_t retry_after = 0;                ///< seconds; 0: not said
  std::string transport_error;                 ///< why the exchange broke off; empty: it did not
  bool transient = false;                      ///< and whether trying again can help
  bool unreachable = false;                    ///< there was not even a connection

  std::string header(const std::string& name) const;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  bool head = false;
  std::string range;  ///< "0-99"; empty: all
};

/// A connection that is kept for the next request to the same host. Redirects are not followed:
/// whoever follows them decides what to send to whom. One thread at a time.
class HttpSession {
 public:
  /// Errors: unavailable if libcurl is not installed, naming the package.
  HttpSession();
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  /// `sink` gets the body as it comes; what it throws ends the exchange and is thrown from here.
  /// Once `*stop` is true, the exchange ends with a transport error.
  using Sink = std::function<void(const HttpResponse&, std::span<const std::byte>)>;
  HttpResponse send(const HttpRequest& request, const Sink& sink,
                    const std::atomic<bool>* stop = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace isotope::weights::hub
