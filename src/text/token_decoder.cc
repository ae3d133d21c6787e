#include "text/token_decoder.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/json_pattern.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

/// The byte that "<0x0A>" spells.
std::optional<char> fallback_byte(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>')
    return std::nullopt;
  std::uint8_t byte = 0;
  const char* end = spelling.data() + 5;
  const auto [stop, error] = std::from_chars(spelling.data() + 3, end, byte, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return char(byte);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

TokenDecoder TokenDecoder::from_json(const json::value& value, const std::string& what) {
  if (value.is_null())
    fail(ErrorCode::unsupported, "{} is missing or null; tokens could not be turned into text",
         what);
  TokenDecoder decoder;
  decoder.add(value, what);
  return decoder;
}

void TokenDecoder::add(const json::value& value, const std::string& what) {
  const JsonFields fields(value, what);
  const std::string type = fields.string("type");
  if (type == "Strip") return add_strip(fields);
  if (byte_level_ || fused_)
    fail(ErrorCode::unsupported, "{}: '{}' after {} is not supported", what, type,
         byte_level_ ? "ByteLevel" : "Fuse");
  if (type == "Sequence") {
    for (const json::value& step : json_array(fields, "decoders")) add(step, what);
  } else if (type == "ByteLevel") {
    byte_level_ = true;
  } else if (type == "ByteFallback") {
    byte_fallback_ = true;
  } else if (type == "Fuse") {
    fused_ = true;
  } else if (type == "Replace") {
    const std::string from = fields.child("pattern").string("String");
    if (from.empty())
      fields.wrong("pattern", *fields.find("pattern"), "a pattern that is not empty");
    replacements_.emplace_back(from, fields.string("content"));
  } else if (type == "Metaspace") {
    replacements_.emplace_back(fields.string("replacement", "▁"), " ");
    strips_leading_space_ = fields.has("prepend_scheme")
                                ? fields.string("prepend_scheme") != "never"
                                : fields.boolean("add_prefix_space", true);
  } else {
    fail(ErrorCode::unsupported,
         "{}: the decoder type '{}' is not supported; known are Sequence, ByteLevel, ByteFallback, "
         "Fuse, Replace, Strip and Metaspace",
         what, type);
  }
}

void TokenDecoder::add_strip(const JsonFields& fields) {
  const bool one_leading_space = fields.string("content") == " " &&
                                 fields.integer("start", 0, 1) == 1 &&
                                 fields.integer("stop", 0, 0) == 0;
  if (!one_leading_space || !fused_ || byte_level_)
    fail(ErrorCode::unsupported,
         "{}: Strip is supported only after Fuse, for one space at the start", fields.name());
  strips_leading_space_ = true;
}

void TokenDecoder::append_bytes(std::string_view spelling, bool is_added, std::string& out) const {
  if (byte_level_) {
    const std::size_t begin = out.size();
    if (!append_spelled_bytes(spelling, out)) {
      out += spelling;
    } else if (is_added) {
      const std::string_view bytes = std::string_view(out).substr(begin);
      if (replace_invalid_utf8(bytes) != bytes) out.replace(begin, std::string::npos, spelling);
    }
    return;
  }
  std::string text(spelling);
  for (const auto& [from, to] : replacements_) replace_all(text, from, to);
  const std::optional<char> byte = byte_fallback_ ? fallback_byte(text) : std::nullopt;
  if (byte)
    out += *byte;
  else
    out += text;
}

}  // namespace isotope::text
