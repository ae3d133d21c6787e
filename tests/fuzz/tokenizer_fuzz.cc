// Any bytes as a tokenizer: tokenizer.json, or tekken.json if the first byte is 't'. What loads
// must encode and decode a text of many kinds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "scratch_folder.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isotope;
  static const fuzz::ScratchFolder folder("tokenizer-fuzz");
  static constexpr std::string_view kText =
      "Once upon a time, 123 cats <s>[INST] don't   café e\u0301 "
      "日本\t\n\n<|im_start|>\xff\xf0\x9f";
  const bool tekken = size > 0 && data[0] == 't';
  folder.remove(tekken ? "tokenizer.json" : "tekken.json");
  folder.write(tekken ? "tekken.json" : "tokenizer.json", data + tekken, size - tekken);
  try {
    const auto tokenizer = text::Tokenizer::load(folder.path());
    const auto ids = tokenizer->encode(kText, {.add_special_tokens = true});
    for (const TokenId id : ids)
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    tokenizer->decode(ids, false);
    for (TokenId id = -1; id <= tokenizer->vocab_size() && id < 1000; ++id)
      tokenizer->token_bytes(id);
  } catch (const Error&) {
    // The one way to refuse a file.
  }
  return 0;
}
