// Finds markers in text that comes in pieces.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_syntax.h"

namespace isotope::text {

class MarkerScanner {
 public:
  /// One stretch of the text: a marker, or what lies between two.
  struct Part {
    std::string text;
    std::optional<Marker> marker;
  };

  /// All that is decided; what may become one of `markers` waits.
  std::vector<Part> push(std::string_view text, const std::vector<MarkerSpelling>& markers);
  /// What was held back.
  std::string finish();

 private:
  std::string held_;  // a proper prefix of a marker
};

}  // namespace isotope::text
