// How filters, tests, methods and functions are declared, and how their arguments are bound.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja_runtime.h"
#include "text/jinja_value.h"

namespace isotope::text::jinja {

/// One call: what it is called on, and an argument (or none) for every declared parameter.
class BuiltinCall {
 public:
  BuiltinCall(Runtime& where, std::string_view what, const Value& on, Arguments& given)
      : runtime(where), name(what), self(on), arguments(given) {}

  bool has(std::size_t parameter) const { return bound.at(parameter) != nullptr; }
  const Value& at(std::size_t parameter) const { return *bound.at(parameter); }
  Value get(std::size_t parameter, Value fallback) const {
    return has(parameter) ? at(parameter) : fallback;
  }
  /// The argument is absent or none.
  bool is_none(std::size_t parameter) const { return !has(parameter) || at(parameter).is_none(); }
  /// Errors: another type.
  std::int64_t integer(std::size_t parameter) const;
  std::int64_t integer(std::size_t parameter, std::int64_t fallback) const;
  const std::string& text(std::size_t parameter) const;
  bool flag(std::size_t parameter, bool fallback) const {
    return has(parameter) ? truthy(at(parameter)) : fallback;
  }

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    runtime.fail("{}: {}", name, fmt::format(format, std::forward<Args>(args)...));
  }

  Runtime& runtime;
  std::string_view name;
  const Value& self;
  Arguments& arguments;  ///< as given; what a variadic builtin reads
  std::vector<const Value*> bound;
};

struct Builtin {
  std::string_view name;
  /// Names with spaces between them; '?' after those that may be left out; '*' at the end if there
  /// may be more.
  std::string_view parameters;
  Value (*function)(BuiltinCall& call);
};

/// Errors: an argument too many, too few, unknown or given twice.
Value invoke(Runtime& runtime, const Builtin& builtin, const Value& self, Arguments& arguments);

class BuiltinTable {
 public:
  BuiltinTable(std::initializer_list<std::span<const Builtin>> parts);
  const Builtin* find(std::string_view name) const;

 private:
  std::unordered_map<std::string_view, const Builtin*> builtins_;
};

/// A builtin as a value: a function, or a method together with what it is called on.
class BuiltinObject final : public Object {
 public:
  BuiltinObject(const Builtin& builtin, Value self) : builtin_(builtin), self_(std::move(self)) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Arguments& arguments) override {
    return invoke(runtime, builtin_, self_, arguments);
  }

 private:
  const Builtin& builtin_;
  const Value self_;
};

// Each file of builtins declares what it adds.
std::span<const Builtin> text_filters();
std::span<const Builtin> value_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> selection_filters();

/// nullptr if there is none of that name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   Arguments& arguments);
bool apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments& arguments);

}  // namespace isotope::text::jinja
