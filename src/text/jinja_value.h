// The values of a template: Python's, as far as JSON and Jinja need them. All but objects are
// immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace isotope::text::jinja {

class Object;
class Runtime;
struct Mapping;
struct Sequence;

/// Returns to the runtime what a value was charged for, when the value's last owner lets go.
class Charge {
 public:
  Charge() = default;
  Charge(Runtime* runtime, std::size_t bytes) : runtime_(runtime), bytes_(bytes) {}
  ~Charge();
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  Runtime* runtime_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Valid UTF-8. Markup is text that was declared safe for HTML: text joined to it is escaped first.
struct Text {
  Text(std::string content, bool is_markup, Runtime* runtime, std::size_t bytes)
      : text(std::move(content)), markup(is_markup), charge(runtime, bytes) {}
  std::string text;
  bool markup;
  Charge charge;
};

class Value {
 public:
  /// In the order of the variant's alternatives.
  enum class Type { undefined, none, boolean, integer, real, text, sequence, mapping, object };

  Value() = default;  ///< undefined, with nothing to say why
  static Value none() { return Value(std::monostate()); }
  static Value boolean(bool value) { return Value(value); }
  static Value integer(std::int64_t value) { return Value(value); }
  static Value real(double value) { return Value(value); }
  static Value object(Object* object) { return Value(object); }
  /// A text that belongs to the parsed template and is charged to nobody.
  static Value constant(std::string text);

  Type type() const { return Type(data_.index()); }
  bool is_undefined() const { return type() == Type::undefined; }
  bool is_none() const { return type() == Type::none; }
  bool is_boolean() const { return type() == Type::boolean; }
  bool is_integer() const { return type() == Type::integer; }
  bool is_real() const { return type() == Type::real; }
  bool is_text() const { return type() == Type::text; }
  bool is_sequence() const { return type() == Type::sequence; }
  bool is_mapping() const { return type() == Type::mapping; }
  bool is_object() const { return type() == Type::object; }
  /// bool, int or float: in Python a bool is an int.
  bool is_number() const { return is_boolean() || is_integer() || is_real(); }
  bool is_markup() const { return is_text() && std::get<TextPointer>(data_)->markup; }

  // The accessors below throw std::bad_variant_access on another type; check first.
  bool as_boolean() const { return std::get<bool>(data_); }
  std::int64_t as_integer() const { return std::get<std::int64_t>(data_); }
  double as_real() const { return std::get<double>(data_); }
  const std::string& as_text() const { return std::get<TextPointer>(data_)->text; }
  const Sequence& as_sequence() const { return *std::get<SequencePointer>(data_); }
  const Mapping& as_mapping() const { return *std::get<MappingPointer>(data_); }
  Object& as_object() const { return *std::get<Object*>(data_); }
  std::shared_ptr<const Sequence> shared_sequence() const {
    return std::get<SequencePointer>(data_);
  }
  /// What an undefined value has to say ("'x' is undefined").
  std::string_view hint() const;

  /// The value of a bool or an int.
  std::optional<std::int64_t> integral() const;
  /// The value of any number.
  std::optional<double> number() const;
  /// `is` in Python: the very same value.
  bool same_as(const Value& other) const;

 private:
  friend class Runtime;
  using Hint = std::shared_ptr<const std::string>;
  using TextPointer = std::shared_ptr<const Text>;
  using SequencePointer = std::shared_ptr<const Sequence>;
  using MappingPointer = std::shared_ptr<const Mapping>;
  using Data = std::variant<Hint, std::monostate, bool, std::int64_t, double, TextPointer,
                            SequencePointer, MappingPointer, Object*>;
  explicit Value(Data data) : data_(std::move(data)) {}

  Data data_;
};

/// A list, or one of the things that Python iterates like one but prints and compares otherwise.
struct Sequence {
  enum class Kind { list, tuple, range, keys, values, items, generator };

  Sequence(std::vector<Value> elements, Kind which, std::string name, int nesting, Runtime* runtime,
           std::size_t bytes)
      : items(std::move(elements)),
        kind(which),
        label(std::move(name)),
        depth(nesting),
        charge(runtime, bytes) {}

  /// Has a length and elements by number.
  bool indexable() const {
    return kind == Kind::list || kind == Kind::tuple || kind == Kind::range;
  }
  std::vector<Value> items;
  Kind kind;
  std::string label;  ///< what Python prints for a range or a generator
  int depth;  ///< 1 + that of the deepest element; bounded, so that recursion over values is
  Charge charge;
};

/// A dict under construction, in order of first insertion.
class MappingBuilder {
 public:
  explicit MappingBuilder(Runtime& runtime) : runtime_(runtime) {}
  /// Replaces the value of an equal key; true if there was none. Errors: a key that Python cannot
  /// hash.
  bool set(Value key, Value value);

 private:
  friend struct Mapping;
  friend class Runtime;
  Runtime& runtime_;
  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_multimap<std::size_t, std::uint32_t> index_;  // hash of the key to its place
};

struct Mapping {
  Mapping(MappingBuilder&& builder, int nesting, Runtime* runtime, std::size_t bytes)
      : entries(std::move(builder.entries_)),
        index(std::move(builder.index_)),
        depth(nesting),
        charge(runtime, bytes) {}

  /// nullptr if there is no such key. Errors: a key that Python cannot hash.
  const Value* find(Runtime& runtime, const Value& key) const;
  const Value* find(std::string_view key) const;

  std::vector<std::pair<Value, Value>> entries;
  std::unordered_multimap<std::size_t, std::uint32_t> index;
  int depth;
  Charge charge;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Functions, macros, namespaces, loops: what has identity.
class Object {
 public:
  virtual ~Object() = default;
  /// As Python names the type.
  virtual std::string_view type_name() const = 0;
  virtual std::string description(Runtime& runtime) const;
  virtual std::optional<Value> attribute(Runtime& runtime, std::string_view name);
  virtual bool callable() const { return false; }
  virtual Value call(Runtime& runtime, Arguments& arguments);
};

std::string_view type_name(const Value& value);
bool truthy(const Value& value);
/// Python's ==. Texts compare with texts, numbers with numbers, lists with lists.
bool equal(Runtime& runtime, const Value& left, const Value& right);
/// Python's <. Errors: types without an order.
bool less(Runtime& runtime, const Value& left, const Value& right);
/// Errors: lists and dicts, which Python cannot hash.
std::size_t hash(Runtime& runtime, const Value& value);

/// str(): what {{ value }} prints.
std::string to_text(Runtime& runtime, const Value& value);
/// repr(): texts in quotes.
std::string representation(Runtime& runtime, const Value& value);

Value from_json(Runtime& runtime, const json::value& value);

/// json.dumps(value, ensure_ascii=False): ", " and ": " between items, keys in their order.
struct JsonStyle {
  std::optional<std::string> indent;  ///< for each level; a new line for every item
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ascii_only = false;
  bool sorted_keys = false;
};
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace isotope::text::jinja
