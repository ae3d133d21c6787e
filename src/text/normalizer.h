// What a tokenizer does to a text before it splits it: the "normalizer" of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace isotope::text {

/// Unicode's normalization forms (UAX #15).
enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

/// `text` must be valid UTF-8. Takes O(n log n) even where utf8proc's own function is quadratic: on
/// long runs of combining marks.
std::string normalize_unicode(std::string_view text, UnicodeForm form);

/// One step: a function of text.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual std::string apply(std::string text) const = 0;
};

/// Immutable; the steps run in order.
class Normalizer {
 public:
  /// No steps.
  Normalizer() = default;
  /// `value` as tokenizer.json has it; null means no steps. `what` names it in errors.
  /// Errors: unsupported, naming the type.
  static Normalizer from_json(const json::value& value, const std::string& what);

  std::string apply(std::string text) const;
  bool empty() const { return steps_.empty(); }

 private:
  void add(const json::value& value, const std::string& what);

  std::vector<std::unique_ptr<const NormalizerStep>> steps_;
};

}  // namespace isotope::text
