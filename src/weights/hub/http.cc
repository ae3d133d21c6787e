#include "weights/hub/http.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <exception>

#include "base/error.h"

namespace isotope::weights::hub {
namespace {

// The few names of curl/curl.h that are used here; they are part of libcurl's stable ABI.
using Handle = void;
struct List;
enum Option : int {
  kWriteData = 10001,
  kUrl = 10002,
  kErrorBuffer = 10010,
  kUserAgent = 10018,
  kLowSpeedLimit = 19,
  kLowSpeedTime = 20,
  kHttpHeader = 10023,
  kHeaderData = 10029,
  kRange = 10007,
  kNoProgress = 43,
  kNoBody = 44,
  kProgressData = 10057,
  kCaInfo = 10065,
  kConnectTimeout = 78,
  kHttpGet = 80,
  kNoSignal = 99,
  kProtocols = 181,
  kWriteFunction = 20011,
  kHeaderFunction = 20079,
  kProgressFunction = 20219,
};
constexpr long kHttpAndHttps = 1 | 2;
constexpr int kInfoRedirectUrl = 0x100000 + 31;
constexpr int kInfoRetryAfter = 0x600000 + 57;
constexpr std::size_t kErrorBytes = 256;
constexpr long kConnectSeconds = 20, kStalledSeconds = 30;
/// Errors in the address, the certificate or our own use, which time does not mend: unsupported
/// protocol, malformed URL, the three of TLS certificates.
constexpr int kPermanent[] = {1, 3, 35, 58, 60, 77};

/// No name server that knows the host (or the proxy), nobody who listens there.
constexpr int kUnreachable[] = {5, 6, 7};

bool is_one_of(int code, std::span<const int> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

struct Curl {
  Handle* (*init)();
  void (*cleanup)(Handle*);
  void (*reset)(Handle*);
  int (*setopt)(Handle*, int, ...);
  int (*perform)(Handle*);
  int (*getinfo)(Handle*, int, ...);
  const char* (*strerror)(int);
  List* (*append)(List*, const char*);
  void (*free_list)(List*);

  static const Curl& load();
};

template <typename Function>
void load_symbol(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (!function) fail(ErrorCode::unavailable, "libcurl has no {}: it is too old", name);
}

Curl open_curl() {
  void* library = nullptr;
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so"})
    if ((library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL))) break;
  if (!library)
    fail(ErrorCode::unavailable,
         "downloads need libcurl, which is not installed: apt install libcurl4 ca-certificates");
  Curl curl;
  int (*global_init)(long) = nullptr;
  load_symbol(library, "curl_global_init", global_init);
  load_symbol(library, "curl_easy_init", curl.init);
  load_symbol(library, "curl_easy_cleanup", curl.cleanup);
  load_symbol(library, "curl_easy_reset", curl.reset);
  load_symbol(library, "curl_easy_setopt", curl.setopt);
  load_symbol(library, "curl_easy_perform", curl.perform);
  load_symbol(library, "curl_easy_getinfo", curl.getinfo);
  load_symbol(library, "curl_easy_strerror", curl.strerror);
  load_symbol(library, "curl_slist_append", curl.append);
  load_symbol(library, "curl_slist_free_all", curl.free_list);
  constexpr long kEverything = 3;
  if (global_init(kEverything) != 0) fail(ErrorCode::internal, "libcurl does not start");
  return curl;
}

const Curl& Curl::load() {
  static const Curl curl = open_curl();
  return curl;
}

/// What libcurl's callbacks work on.
struct Exchange {
  HttpResponse response;
  const HttpSession::Sink* sink;
  const std::atomic<bool>* stop;
  std::exception_ptr thrown;
};

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return text;
}

void parse_header_line(HttpResponse& response, std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // also after a 100 or a proxy's answer
    response.headers.clear();
    response.status = 0;
    if (const std::size_t space = line.find(' '); space != line.npos)
      std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  response.headers[lower(std::string(line.substr(0, colon)))] = value;
}

std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* exchange) {
  auto& self = *static_cast<Exchange*>(exchange);
  try {
    parse_header_line(self.response, {data, size * count});
  } catch (...) {  // nothing may pass through C
    self.thrown = std::current_exception();
    return 0;
  }
  return size * count;
}

std::size_t on_body(const std::byte* data, std::size_t size, std::size_t count, void* exchange) {
  auto& self = *static_cast<Exchange*>(exchange);
  try {
    (*self.sink)(self.response, {data, size * count});
  } catch (...) {
    self.thrown = std::current_exception();
    return size * count + 1;  // any other number than that of the bytes ends the exchange
  }
  return size * count;
}

int on_progress(void* exchange, std::int64_t, std::int64_t, std::int64_t, std::int64_t) {
  const auto& self = *static_cast<Exchange*>(exchange);
  return self.stop && self.stop->load(std::memory_order_relaxed);
}

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

struct HttpSession::State {
  const Curl& curl = Curl::load();
  Handle* handle = curl.init();

  ~State() {
    if (handle) curl.cleanup(handle);
  }

  void set(const HttpRequest& request, Exchange& exchange, char* error) const {
    curl.reset(handle);  // forgets the options, keeps the connections
    curl.setopt(handle, kUrl, request.url.c_str());
    curl.setopt(handle, kUserAgent, "isotope");
    curl.setopt(handle, kProtocols, kHttpAndHttps);
    curl.setopt(handle, kNoSignal, 1L);
    curl.setopt(handle, kConnectTimeout, kConnectSeconds);
    curl.setopt(handle, kLowSpeedLimit, 1L);
    curl.setopt(handle, kLowSpeedTime, kStalledSeconds);
    curl.setopt(handle, kErrorBuffer, error);
    curl.setopt(handle, request.head ? kNoBody : kHttpGet, 1L);
    if (!request.range.empty()) curl.setopt(handle, kRange, request.range.c_str());
    curl.setopt(handle, kHeaderFunction, &on_header);
    curl.setopt(handle, kHeaderData, &exchange);
    curl.setopt(handle, kWriteFunction, &on_body);
    curl.setopt(handle, kWriteData, &exchange);
    curl.setopt(handle, kProgressFunction, &on_progress);
    curl.setopt(handle, kProgressData, &exchange);
    curl.setopt(handle, kNoProgress, 0L);
    for (const char* name : {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"})
      if (const char* bundle = std::getenv(name); bundle && *bundle) {
        curl.setopt(handle, kCaInfo, bundle);
        break;
      }
  }
};

HttpSession::HttpSession() : state_(std::make_unique<State>()) {
  if (!state_->handle) fail(ErrorCode::out_of_memory, "libcurl has no memory for a connection");
}

HttpSession::~HttpSession() = default;

HttpResponse HttpSession::send(const HttpRequest& request, const Sink& sink,
                               const std::atomic<bool>* stop) {
  const Curl& curl = state_->curl;
  Exchange exchange{.response = {}, .sink = &sink, .stop = stop, .thrown = nullptr};
  char error[kErrorBytes] = {};
  state_->set(request, exchange, error);
  List* headers = nullptr;
  for (const std::string& header : request.headers) headers = curl.append(headers, header.c_str());
  curl.setopt(state_->handle, kHttpHeader, headers);
  const int code = curl.perform(state_->handle);
  const char* redirect = nullptr;
  std::int64_t retry_after = 0;
  curl.getinfo(state_->handle, kInfoRedirectUrl, &redirect);
  curl.getinfo(state_->handle, kInfoRetryAfter, &retry_after);
  HttpResponse& response = exchange.response;
  if (redirect) response.redirect_url = redirect;
  response.retry_after = retry_after;
  curl.setopt(state_->handle, kHttpHeader, static_cast<List*>(nullptr));
  curl.free_list(headers);
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  if (code != 0) {
    response.transport_error = error[0] ? error : curl.strerror(code);
    response.transient = !is_one_of(code, kPermanent);
    response.unreachable = is_one_of(code, kUnreachable);
  }
  return std::move(exchange.response);
}

}  // namespace isotope::weights::hub
