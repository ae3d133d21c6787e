// The functions that every template may call, and the objects that they make.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja_value.h"

namespace isotope::text::jinja {

/// namespace(…): the one thing that a template may change from within a loop.
class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  std::string description(Runtime& runtime) const override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  /// Errors: a name that begins with an underscore.
  void set(Runtime& runtime, const std::string& name, Value value);

 private:
  std::vector<std::pair<std::string, Value>> attributes_;  // in order of first assignment
};

/// range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
std::optional<Value> find_global(std::string_view name);

}  // namespace isotope::text::jinja
