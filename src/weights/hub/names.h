// Names that come from a hub: which are safe to become paths, and which files serving needs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::weights::hub {

/// "org/name" (or the old form "name") of the characters that the hub allows.
bool is_repo_id(std::string_view text);
/// A full commit: 40 hexadecimal digits.
bool is_commit(std::string_view text);

/// These refuse what could leave the cache's folder or disturb a terminal: absolute paths, "..",
/// backslashes, control characters, empty or endless components. Errors: invalid_argument for what
/// the user said, corrupt_data for what the hub said.
void check_repo_id(std::string_view repo);
void check_revision(std::string_view revision);
void check_file_name(std::string_view name);

/// `W/"abc"` → "abc". The result names a blob, so anything that is no plain word is corrupt_data.
std::string normalize_etag(std::string_view header);

/// Percent-encoding for URLs; slashes stay when `keep_slashes`.
std::string url_quote(std::string_view text, bool keep_slashes);
/// "https://host:port" of a URL, in lower case: what decides who may see the token.
std::string origin_of(std::string_view url);

struct ContentRange {
  std::int64_t first = 0, last = 0, total = 0;
};
/// "bytes 0-99/200"; nothing if it is malformed or does not say the total.
std::optional<ContentRange> parse_content_range(std::string_view header);

struct Selection {
  std::vector<std::string> include, exclude;  ///< patterns of fnmatch, in which * crosses slashes
  bool all = false;                           ///< every file of the repository
};
/// The files to download, in the hub's order. Without patterns those that serving needs: JSON,
/// templates and safetensors of the top folder, each weight once.
std::vector<std::string> select_files(const std::vector<std::string>& names,
                                      const Selection& selection);

}  // namespace isotope::weights::hub
