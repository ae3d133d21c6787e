#include "server/router.h"

#include <fmt/core.h>

#include "server/web_page.h"

namespace isotope::server {
namespace {

struct Entry {
  std::string_view method, path;
  std::unique_ptr<Exchange> (*handle)(const Call&) = nullptr;
  Response (*show)(const Service&) = nullptr;
  Response (*tell)(const ServerState&) = nullptr;
  bool open = false;
};

constexpr Entry kEntries[] = {
    {"POST", "/v1/chat/completions", chat},
    {"POST", "/v1/completions", complete},
    {"POST", "/v1/responses", respond},
    {"POST", "/v1/messages", answer_messages},
    {"POST", "/v1/messages/count_tokens", count_message_tokens},
    {.method = "GET", .path = "/v1/models", .show = list_models},
    {"POST", "/tokenize", tokenize},
    {"POST", "/detokenize", detokenize},
    {.method = "GET", .path = "/v1/status", .show = show_status},
    {.method = "GET", .path = "/health", .tell = show_health, .open = true},
    {.method = "GET", .path = "/ready", .tell = show_ready, .open = true},
    {.method = "GET", .path = "/version", .tell = show_version, .open = true},
    {.method = "GET", .path = "/metrics", .show = show_metrics, .open = true},
};

/// Endpoints of the same protocols that clients may look for, and why they will not find them.
/// Status 404, not 501: clients repeat what fails with 5xx.
struct Absent {
  std::string_view path, why;
};
constexpr std::string_view kNoVectors = "the model generates text; it gives no vectors or scores",
                           kOnlyText = "only text goes in and comes out",
                           kStoresNothing = "this server stores nothing";
constexpr Absent kAbsent[] = {
    {"/v1/embeddings", kNoVectors},
    {"/v1/rerank", kNoVectors},
    {"/v1/score", kNoVectors},
    {"/pooling", kNoVectors},
    {"/classify", kNoVectors},
    {"/v1/moderations", kNoVectors},
    {"/v1/audio", kOnlyText},
    {"/v1/images", kOnlyText},
    {"/v1/videos", kOnlyText},
    {"/v1/realtime", kOnlyText},
    {"/v1/responses", kStoresNothing},
    {"/v1/chat/completions", kStoresNothing},
    {"/v1/conversations", kStoresNothing},
    {"/v1/messages/batches", kStoresNothing},
    {"/v1/assistants", kStoresNothing},
    {"/v1/threads", kStoresNothing},
    {"/v1/files", kStoresNothing},
    {"/v1/uploads", kStoresNothing},
    {"/v1/batches", kStoresNothing},
    {"/v1/vector_stores", kStoresNothing},
    {"/v1/containers", kStoresNothing},
    {"/v1/evals", kStoresNothing},
    {"/v1/fine_tuning", kStoresNothing},
};

constexpr std::string_view kModelPrefix = "/v1/models/";

void check_method(std::string_view method, std::string_view expected, std::string_view path) {
  if (method == expected || (method == "HEAD" && expected == "GET")) return;
  throw ApiError(405, fmt::format("{} wants {}, not {}", path, expected, method.substr(0, 20)))
      .with_header("Allow", std::string(expected));
}

/// Empty if there is nothing to say.
std::string_view why_absent(std::string_view path) {
  for (const Absent& absent : kAbsent)
    if (path.starts_with(absent.path) &&
        (path.size() == absent.path.size() || path[absent.path.size()] == '/'))
      return absent.why;
  return {};
}

/// Names may hold slashes and what clients escape: "%2F".
std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = high >= 0 ? digit(text[i + 2]) : -1;
    if (low >= 0) {
      result += char(high * 16 + low);
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

Route find_route(std::string_view method, std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  for (const Entry& entry : kEntries) {
    if (path != entry.path) continue;
    check_method(method, entry.method, path);
    return {.handle = entry.handle, .show = entry.show, .tell = entry.tell, .open = entry.open};
  }
  if (path.starts_with(kModelPrefix)) {
    check_method(method, "GET", path);
    return {.show = [name = percent_decode(path.substr(kModelPrefix.size()))](
                        const Service& service) { return show_model(service, name); }};
  }
  if (is_web_page_path(path)) {
    check_method(method, "GET", path);
    return {.tell = [path = std::string(path)](
                        const ServerState& state) { return show_web_page(state, path); },
            .open = true};
  }
  std::string known;
  for (const Entry& entry : kEntries) known += fmt::format(" {}", entry.path);
  const std::string_view reason = why_absent(path);
  throw ApiError(404, fmt::format("there is no {}{}{}; try{}", path.substr(0, 100),
                                  reason.empty() ? "" : ": ", reason, known));
}

ErrorForm error_form(std::string_view target) {
  return target.starts_with("/v1/messages") ? ErrorForm::anthropic : ErrorForm::openai;
}

}  // namespace isotope::server
