// Cuts a stream of text at the first stop string, holding back what might become one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::text {

/// The stop string that is complete first ends the text, of several at once the longest: the result
/// does not depend on how the text was cut into pieces.
class StopStrings {
 public:
  /// Errors: invalid_argument for an empty stop string.
  explicit StopStrings(std::vector<std::string> stops, bool include_stop_text = false);

  /// Text that can no longer become part of a stop string. After a stop was found: nothing.
  std::string push(std::string_view piece);
  /// What was held back, once generation has ended for another reason.
  std::string finish();
  /// The stop string that ended the text, or nullptr.
  const std::string* matched() const { return matched_ ? &stops_[*matched_].text : nullptr; }

 private:
  /// A stop string as a Knuth-Morris-Pratt automaton: constant time a byte, whatever the text.
  struct Stop {
    std::string text;
    /// [n]: length of the longest proper prefix of text[0, n] that is a suffix of it too.
    std::vector<std::size_t> borders;
    std::size_t state = 0;  ///< bytes of `text` that the stream ends with
  };
  static void advance(Stop& stop, char byte);
  /// Takes one byte in; true if it completes a stop string.
  bool complete_stop(char byte);

  std::vector<Stop> stops_;
  bool include_stop_text_;
  std::string held_;
  std::optional<std::size_t> matched_;
};

}  // namespace isotope::text
