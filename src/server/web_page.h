// The chat page: the files of src/server/web, which travel inside the binary.
#pragma once

#include <optional>
#include <string_view>

#include "server/exchange.h"

namespace isotope::server {

/// The file at `path` ("/", "/web/app.js") with its type, its ETag and what browsers need to know
/// to keep the page inside its bounds. nullopt if there is none.
std::optional<Response> web_page_file(std::string_view path);

/// Whether `path` is the page's or would be that of one of its files.
bool is_web_page_path(std::string_view path);

/// A request with this If-None-Match header has the answer with this ETag already.
bool matches_etag(std::string_view if_none_match, std::string_view etag);

}  // namespace isotope::server
