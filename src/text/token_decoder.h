// From a token's spelling to the bytes that it stands for: the "decoder" of tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace isotope::text {

/// Decoders that work on each token alone, and at most strip one space at the start of the whole
/// text.
class TokenDecoder {
 public:
  /// `value` as tokenizer.json has it. Errors: unsupported, naming the type.
  static TokenDecoder from_json(const json::value& value, const std::string& what);

  /// Appends the bytes of a token. An added token whose spelling is no text in the byte alphabet
  /// stands for itself, as does any token with a character outside of that alphabet.
  void append_bytes(std::string_view spelling, bool is_added, std::string& out) const;
  bool strips_leading_space() const { return strips_leading_space_; }

 private:
  void add(const json::value& value, const std::string& what);
  void add_strip(const JsonFields& fields);

  bool byte_level_ = false;
  bool byte_fallback_ = false;  ///< "<0x0A>" is the byte 10
  bool fused_ = false;          ///< later steps see the whole text
  bool strips_leading_space_ = false;
  std::vector<std::pair<std::string, std::string>> replacements_;
};

}  // namespace isotope::text
