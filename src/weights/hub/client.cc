#include "weights/hub/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "weights/hub/names.h"

namespace isotope::weights::hub {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxRedirects = 8;
constexpr int kMaxTries = 6;         // without a byte of progress between them
constexpr int kMaxTriesToReach = 2;  // a hub that has not answered yet: perhaps there is no network
constexpr milliseconds kFirstPause(500), kLongestPause(16'000);
constexpr std::int64_t kLongestRetryAfter = 300;  // seconds; whoever asks for more is unavailable
constexpr std::size_t kMaxListing = std::size_t(64) << 20;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_worth_retrying(const HttpResponse& response) {
  if (!response.transport_error.empty()) return response.transient;
  const int status = response.status;
  return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

std::string reason(const HttpResponse& response) {
  return response.transport_error.empty() ? fmt::format("HTTP status {}", response.status)
                                          : response.transport_error;
}

/// The ETag of the content itself: the hub puts that of a file in large storage beside its own.
std::string etag_of(const HttpResponse& response) {
  const std::string linked = response.header("x-linked-etag");
  return linked.empty() ? response.header("etag") : linked;
}

std::int64_t size_of_file(const HttpResponse& response, const std::string& file) {
  std::string text = response.header("x-linked-size");
  if (text.empty()) text = response.header("content-length");
  std::int64_t size = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  constexpr std::int64_t kMaxFile = std::int64_t(1) << 50;
  if (error != std::errc() || end != text.data() + text.size() || size < 0 || size > kMaxFile)
    fail(ErrorCode::corrupt_data, "{}: the hub gives '{}' as its size", file, text);
  return size;
}

/// Sleeps in short steps, so that a failure elsewhere need not wait for it.
void pause(milliseconds time, const std::atomic<bool>* stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (stop && *stop) throw HubClient::Stopped{};
    std::this_thread::sleep_for(std::min(time, milliseconds(50)));
  }
}

}  // namespace

/// What an exchange is for.
struct HubClient::Goal {
  std::string what;                         ///< for messages
  const FileInfo* file = nullptr;           ///< whose bytes are read: its ETag must not change
  const std::atomic<bool>* stop = nullptr;  ///< may be null
  bool first = false;                       ///< it opens the conversation with the hub
};

HubClient::HubClient(const Settings& settings, Repository repository)
    : settings_(settings),
      origin_(origin_of(settings.endpoint)),
      repository_(std::move(repository)) {}

/// Redirects are followed here and not by libcurl, because each decides anew whether the token may
/// travel, and because the hub describes a file in the redirect and not in what it leads to.
HttpResponse HubClient::follow(HttpRequest request, const HttpSession::Sink& sink,
                               const Goal& goal) {
  request.headers.push_back("Accept-Encoding: identity");
  for (int hop = 0; hop < kMaxRedirects; ++hop) {
    HttpRequest own = request;
    if (!settings_.token.empty() && origin_of(own.url) == origin_)
      own.headers.push_back("Authorization: Bearer " + settings_.token);
    HttpResponse response = session_.send(own, sink, goal.stop);
    if (goal.stop && *goal.stop) throw Stopped{};
    if (!response.transport_error.empty() || !is_redirect(response.status)) return response;
    const bool described = !etag_of(response).empty() && !response.header("x-repo-commit").empty();
    if (request.head && described) return response;
    if (const std::string linked = response.header("x-linked-etag");
        goal.file && !linked.empty() && normalize_etag(linked) != goal.file->etag)
      fail(ErrorCode::unavailable, "{} changed at the hub during the download; start it again",
           goal.what);
    const std::string& target = response.redirect_url;
    if (!target.starts_with("https://") &&
        (!target.starts_with("http://") || request.url.starts_with("https://")))
      fail(ErrorCode::corrupt_data, "{}: redirected from {} to '{}', which is not followed",
           goal.what, origin_of(request.url), target.substr(0, 100));
    request.url = target;
  }
  fail(ErrorCode::unavailable, "{}: more than {} redirects, the last to {}", goal.what,
       kMaxRedirects, origin_of(request.url));
}

/// `attempt` returns the response and whether bytes came; it is called again while that can help.
template <typename Attempt>
void HubClient::with_retries(const Goal& goal, const Attempt& attempt) {
  milliseconds wait = kFirstPause;
  for (int tries = 1;; ++tries) {
    const auto [response, progress] = attempt();
    if (response.status == 0 && response.transport_error.empty()) return;  // it has what it wants
    if (!is_worth_retrying(response)) refuse(response, goal);
    if (progress) {
      tries = 1;
      wait = kFirstPause;
    }
    const int most_tries = goal.first && response.unreachable ? kMaxTriesToReach : kMaxTries;
    if (tries >= most_tries || response.retry_after > kLongestRetryAfter)
      fail(ErrorCode::unavailable, "{}: {} ({} tries{}); run the command again to go on", goal.what,
           reason(response), tries,
           response.retry_after > 0
               ? fmt::format(", the server asks for {} s", response.retry_after)
               : "");
    const milliseconds asked(response.retry_after * 1000);
    log_info("hub", "{}: {}; trying again in {:.1f} s", goal.what, reason(response),
             double(std::max(asked, wait).count()) / 1e3);
    pause(std::max(asked, wait), goal.stop);
    wait = std::min(wait * 2, kLongestPause);
  }
}

Listing HubClient::list() {
  const Goal goal{.what = fmt::format("{} at {}", repository_.name, settings_.endpoint),
                  .first = true};
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}", settings_.endpoint,
                  url_quote(repository_.name, true), url_quote(repository_.revision, false));
  std::string body;
  with_retries(goal, [&]() -> std::pair<HttpResponse, bool> {
    body.clear();
    const HttpResponse response = follow(
        {.url = url},
        [&](const HttpResponse&, std::span<const std::byte> bytes) {
          if (body.size() + bytes.size() > kMaxListing)
            fail(ErrorCode::corrupt_data, "{}: its list of files is endless", goal.what);
          body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        },
        goal);
    if (response.status == 200 && response.transport_error.empty()) return {HttpResponse(), true};
    return {response, false};
  });
  if (body.find_first_not_of(" \t\r\n") == body.npos || body.starts_with('<'))
    fail(ErrorCode::corrupt_data,
         "{} answered with a web page instead of data; is HF_ENDPOINT right, or does a proxy want "
         "a login?",
         settings_.endpoint);
  const json::value value = parse_json(body, goal.what);
  const JsonFields fields(value, goal.what);
  Listing listing{.commit = fields.string("sha"), .files = {}};
  if (!is_commit(listing.commit)) fields.wrong("sha", *fields.find("sha"), "a commit");
  const json::value* files = fields.find("siblings");
  if (!files) fields.missing("siblings");
  if (!files->is_array()) fields.wrong("siblings", *files, "a list");
  for (const json::value& file : files->get_array())
    listing.files.push_back(JsonFields(file, goal.what + ": siblings").string("rfilename"));
  return listing;
}

FileInfo HubClient::describe(const std::string& commit, const std::string& file) {
  const Goal goal{.what = file};
  FileInfo info{.name = file, .etag = {}, .size = 0};
  with_retries(goal, [&]() -> std::pair<HttpResponse, bool> {
    const HttpResponse response = follow(
        {.url = file_url(commit, file), .head = true}, [](const auto&, const auto&) {}, goal);
    const bool answered = response.status == 200 || is_redirect(response.status);
    if (!answered || !response.transport_error.empty()) return {response, false};
    const std::string etag = etag_of(response);
    if (etag.empty())
      fail(ErrorCode::corrupt_data, "{}: {} sends no ETag; it does not speak the hub's protocol",
           file, settings_.endpoint);
    info.etag = normalize_etag(etag);
    info.size = size_of_file(response, file);
    return {HttpResponse(), true};
  });
  return info;
}

void HubClient::read(const std::string& commit, const FileInfo& file, std::int64_t first,
                     std::int64_t last, const Sink& sink, const std::atomic<bool>& stop) {
  const Goal goal{.what = file.name, .file = &file, .stop = &stop};
  std::int64_t at = first;
  with_retries(goal, [&]() -> std::pair<HttpResponse, bool> {
    const std::int64_t before = at;
    const bool all = at == 0 && last == file.size - 1;
    bool checked = false;
    const auto take = [&](const HttpResponse& response, std::span<const std::byte> bytes) {
      if (response.status == 200 && !all) throw RangeIgnored{};
      if (response.status != 200 && response.status != 206) return;  // the text of an error
      if (response.status == 206 && !std::exchange(checked, true)) {
        const auto range = parse_content_range(response.header("content-range"));
        if (!range || range->first != at || range->total != file.size)
          fail(ErrorCode::corrupt_data, "{}: asked for bytes {}-{} of {}, got '{}'", file.name, at,
               last, file.size, response.header("content-range"));
      }
      if (std::int64_t(bytes.size()) > last + 1 - at)
        fail(ErrorCode::corrupt_data, "{}: the server sends more than the {} bytes it announced",
             file.name, file.size);
      sink(at, bytes);
      at += std::int64_t(bytes.size());
    };
    HttpRequest request{.url = file_url(commit, file.name)};
    if (!all) request.range = fmt::format("{}-{}", at, last);
    HttpResponse response = follow(std::move(request), take, goal);
    if (at == last + 1) return {HttpResponse(), true};
    if (response.status == 200 || response.status == 206) {
      if (response.transport_error.empty())
        response.transport_error = fmt::format("ended {} bytes early", last + 1 - at);
      response.transient = true;
    }
    return {response, at > before};
  });
}

void HubClient::read_whole(const std::string& commit, const FileInfo& file, const Sink& sink,
                           const std::atomic<bool>& stop) {
  const Goal goal{.what = file.name, .file = &file, .stop = &stop};
  with_retries(goal, [&]() -> std::pair<HttpResponse, bool> {
    std::int64_t at = 0;
    HttpResponse response = follow(
        {.url = file_url(commit, file.name)},
        [&](const HttpResponse& head, std::span<const std::byte> bytes) {
          if (head.status != 200) return;
          if (std::int64_t(bytes.size()) > file.size - at)
            fail(ErrorCode::corrupt_data,
                 "{}: the server sends more than the {} bytes it announced", file.name, file.size);
          sink(at, bytes);
          at += std::int64_t(bytes.size());
        },
        goal);
    if (at == file.size) return {HttpResponse(), true};
    if (response.status == 200) {
      if (response.transport_error.empty())
        response.transport_error = fmt::format("ended {} bytes early", file.size - at);
      response.transient = true;
    }
    return {response, false};
  });
}

std::string HubClient::file_url(const std::string& commit, const std::string& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, url_quote(repository_.name, true),
                     commit, url_quote(file, true));
}

void HubClient::refuse_access(const HttpResponse& response) const {
  const std::string& name = repository_.name;
  const std::string page = settings_.endpoint + "/" + name;
  const bool gated = response.header("x-error-code") == "GatedRepo" || response.status == 403;
  if (gated && settings_.token.empty())
    fail(ErrorCode::invalid_argument,
         "{} is gated: accept its licence at {} while logged in, make a token at "
         "{}/settings/tokens, then run this again with HF_TOKEN set to it",
         name, page, settings_.endpoint);
  if (gated)
    fail(ErrorCode::invalid_argument,
         "{} is gated, and the token of {} has no access: accept the licence at {} with the "
         "token's account (some owners answer by hand), and let the token read gated repositories",
         name, settings_.token_source, page);
  if (settings_.token.empty())
    fail(ErrorCode::not_found,
         "{} is not at {}, or it is private: check the spelling; for a private one set HF_TOKEN",
         name, settings_.endpoint);
  fail(ErrorCode::invalid_argument,
       "{}: {} does not accept the token of {}, or {} is not there; renew the token at "
       "{}/settings/tokens or check the spelling",
       name, settings_.endpoint, settings_.token_source, name, settings_.endpoint);
}

void HubClient::refuse(const HttpResponse& response, const Goal& goal) const {
  if (!response.transport_error.empty())
    fail(ErrorCode::unavailable, "{}: {}", goal.what, response.transport_error);
  if (response.status == 401 || response.status == 403) refuse_access(response);
  const std::string code = response.header("x-error-code");
  if (response.status == 404 && code == "RevisionNotFound")
    fail(ErrorCode::not_found, "{} has no revision '{}'; see {}/{}/tree/main for its branches",
         repository_.name, repository_.revision, settings_.endpoint, repository_.name);
  if (response.status == 404 && code == "EntryNotFound")
    fail(ErrorCode::not_found, "{} has no file {} in revision '{}'", repository_.name, goal.what,
         repository_.revision);
  if (response.status == 404)
    fail(ErrorCode::not_found, "{}: not found; check the spelling of {}", goal.what,
         repository_.name);
  fail(ErrorCode::unavailable, "{}: {} answered with HTTP status {} {}", goal.what,
       settings_.endpoint, response.status, response.header("x-error-message").substr(0, 200));
}

}  // namespace isotope::weights::hub
