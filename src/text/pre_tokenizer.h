// Splits a text into the pieces that no token crosses: the "pre_tokenizer" of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/regex.h"

namespace isotope::text {

/// A text and the parts of it, from left to right, that are tokenized each on its own.
/// What lies between the parts is dropped.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  /// `text` begins where the whole input does: some tokenizers put a space there, and only there.
  bool at_input_start = false;
};

/// One step: cuts pieces further, or rewrites them.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

/// Immutable; the steps run in order.
class PreTokenizer {
 public:
  /// No steps: the text is one piece.
  PreTokenizer() = default;
  /// `value` as tokenizer.json has it; null means no steps. `what` names it in errors.
  /// Errors: unsupported, naming the type.
  static PreTokenizer from_json(const json::value& value, const std::string& what);
  /// One Split with the behaviour Isolated: what Tekken does.
  static PreTokenizer from_pattern(std::string_view pattern, const std::string& what);

  Pieces split(std::string text, bool at_input_start) const;
  /// The pieces are to be spelled in the byte alphabet (byte_alphabet.h). split() gives them as
  /// plain bytes all the same: spelling and bytes are one to one, and bytes are shorter.
  bool byte_level() const { return byte_level_; }

 private:
  void add(const json::value& value, const std::string& what);

  std::vector<std::unique_ptr<const PreTokenizerStep>> steps_;
  bool byte_level_ = false;
};

}  // namespace isotope::text
