// Cuts a stream of text at the first stop string, holding back what might become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace isotope::text {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops, bool include_stop_text = false);

  /// Text that can no longer become part of a stop string. After a stop was found: nothing.
  std::string push(std::string_view piece);
  /// What was held back, once generation has ended for another reason.
  std::string finish();
  /// The stop string that ended the text, or nullptr.
  const std::string* matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  bool include_stop_text_;
  std::string held_;
  const std::string* matched_ = nullptr;
};

}  // namespace isotope::text
