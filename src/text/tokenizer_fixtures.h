// What the tests of this room share: where fixtures lie, and reading their JSON.
#pragma once

#include <boost/json/array.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/tensor.h"
#include "text/tokenizer.h"

namespace isotope::text {

/// Fixtures as they are in the source tree.
inline std::filesystem::path fixture(std::string_view name) {
  return std::filesystem::path(ISOTOPE_TEST_DATA) / "tokenizers" / name;
}

/// Fixtures that are packed in the source tree.
inline std::filesystem::path unpacked_fixture(std::string_view name) {
  return std::filesystem::path(ISOTOPE_TEST_WORK) / "tokenizers" / name;
}

inline std::vector<TokenId> token_ids(const json::value& array) {
  std::vector<TokenId> ids;
  for (const json::value& id : array.as_array()) ids.push_back(TokenId(id.as_int64()));
  return ids;
}

inline std::string text_of(const json::value& value) { return std::string(value.as_string()); }

/// Every tokenizer that the tests know, with a large one of each kind.
inline std::vector<std::filesystem::path> all_tokenizers() {
  return {unpacked_fixture("qwen3"),
          unpacked_fixture("ministral3-hf"),
          unpacked_fixture("ministral3-tekken"),
          fixture("../stories260K"),
          fixture("gpt2-style"),
          fixture("metaspace")};
}

}  // namespace isotope::text
