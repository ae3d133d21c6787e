#include "server/web_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/embedded.h"
#include "base/sha256.h"

namespace isotope {
extern const EmbeddedFiles web_page_files;  // generated from web/
}

namespace isotope::server {
namespace {

constexpr std::string_view kFolder = "server/web/", kPrefix = "/web/", kIndex = "index.html";

/// Only this server's own files and answers: what a model writes can load nothing, run nothing and
/// send nothing anywhere.
constexpr std::string_view kSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

struct Type {
  std::string_view ending, name;
};

constexpr Type kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

std::string_view content_type(std::string_view name) {
  for (const Type& type : kTypes)
    if (name.ends_with(type.ending)) return type.name;
  return "text/plain; charset=utf-8";
}

struct File {
  std::string_view text;
  std::string etag;
};

std::string etag_of(std::string_view text) {
  const Sha256Digest digest = sha256(std::as_bytes(std::span(text)));
  return fmt::format("\"{}\"", hex(digest).substr(0, 32));
}

/// By name within the folder.
const std::map<std::string_view, File>& files() {
  static const std::map<std::string_view, File> all = [] {
    std::map<std::string_view, File> result;
    for (const EmbeddedFile& file : web_page_files)
      result[file.name.substr(kFolder.size())] = {file.text, etag_of(file.text)};
    return result;
  }();
  return all;
}

}  // namespace

std::optional<Response> web_page_file(std::string_view path) {
  std::string_view name = kIndex;
  if (path != "/") {
    if (!path.starts_with(kPrefix)) return std::nullopt;
    name = path.substr(kPrefix.size());
  }
  const auto found = files().find(name);
  if (found == files().end()) return std::nullopt;
  // The browser asks again each time and is told that nothing has changed: a new program's page is
  // seen at once.
  return Response{.content_type = std::string(content_type(name)),
                  .body = std::string(found->second.text),
                  .headers = {{"ETag", found->second.etag},
                              {"Cache-Control", "no-cache"},
                              {"Content-Security-Policy", std::string(kSecurityPolicy)},
                              {"Referrer-Policy", "no-referrer"}}};
}

bool is_web_page_path(std::string_view path) { return path == "/" || path.starts_with(kPrefix); }

bool matches_etag(std::string_view if_none_match, std::string_view etag) {
  if (if_none_match == "*") return true;
  while (!if_none_match.empty()) {
    std::string_view tag = if_none_match.substr(0, if_none_match.find(','));
    if_none_match.remove_prefix(std::min(if_none_match.size(), tag.size() + 1));
    while (tag.starts_with(' ')) tag.remove_prefix(1);
    while (tag.ends_with(' ')) tag.remove_suffix(1);
    if (tag.starts_with("W/")) tag.remove_prefix(2);  // what a compressing proxy makes of it
    if (tag == etag) return true;
  }
  return false;
}

}  // namespace isotope::server
