#include "text/jinja_globals.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <memory>

#include "text/jinja_builtin.h"
#include "text/jinja_operations.h"

namespace isotope::text::jinja {

std::string Namespace::description(Runtime& runtime) const {
  std::string out = "<Namespace {";
  for (std::size_t i = 0; i < attributes_.size(); ++i) {
    if (i > 0) out += ", ";
    out += "'" + attributes_[i].first + "': " + representation(runtime, attributes_[i].second);
    runtime.check_text_size(out.size());
  }
  return out + "}>";
}

std::optional<Value> Namespace::attribute(Runtime& runtime, std::string_view name) {
  runtime.step(1 + std::int64_t(attributes_.size() / 8));
  for (const auto& [own, value] : attributes_) {
    if (own == name) return value;
  }
  return std::nullopt;
}

void Namespace::set(Runtime& runtime, const std::string& name, Value value) {
  if (name.starts_with("_"))
    runtime.fail("names that begin with an underscore are refused: '{}'", name);
  runtime.step(1 + std::int64_t(attributes_.size() / 8));
  for (auto& [own, old] : attributes_) {
    if (own != name) continue;
    old = std::move(value);
    return;
  }
  runtime.charge(sizeof(attributes_[0]) + name.size());  // until the end of the rendering
  attributes_.emplace_back(name, std::move(value));
}

namespace {

/// Goes around its items.
class Cycler final : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  Value next() {
    Value value = items_[position_];
    position_ = (position_ + 1) % items_.size();
    return value;
  }
  void reset() { position_ = 0; }

 private:
  std::vector<Value> items_;
  std::size_t position_ = 0;
};

constexpr Builtin kCyclerNext = {"next", "", [](BuiltinCall& call) {
                                   return static_cast<Cycler&>(call.self.as_object()).next();
                                 }};
constexpr Builtin kCyclerReset = {"reset", "", [](BuiltinCall& call) {
                                    static_cast<Cycler&>(call.self.as_object()).reset();
                                    return Value::none();
                                  }};

std::optional<Value> Cycler::attribute(Runtime& runtime, std::string_view name) {
  if (name == "current") return items_[position_];
  if (name == "next") return runtime.create<BuiltinObject>(kCyclerNext, Value::object(this));
  if (name == "reset") return runtime.create<BuiltinObject>(kCyclerReset, Value::object(this));
  return std::nullopt;
}

/// Nothing at the first call, the separator from then on.
class Joiner final : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Runtime&, Arguments&) override {
    return std::exchange(used_, true) ? separator_ : Value::constant("");
  }

 private:
  const Value separator_;
  bool used_ = false;
};

Value make_range(BuiltinCall& call) {
  constexpr std::int64_t kLongest = 100'000;  // as in Jinja's sandbox
  const bool one = !call.has(1);
  const std::int64_t first = one ? 0 : call.integer(0);
  const std::int64_t end = call.integer(one ? 0 : 1);
  const std::int64_t step = call.integer(2, 1);
  if (step == 0) call.fail("the step cannot be zero");
  // In unsigned numbers, as the distance of two integers may not fit a signed one.
  const bool empty = step > 0 ? first >= end : first <= end;
  const std::uint64_t distance = step > 0 ? std::uint64_t(end) - std::uint64_t(first)
                                          : std::uint64_t(first) - std::uint64_t(end);
  const std::uint64_t pace = step > 0 ? std::uint64_t(step) : -std::uint64_t(step);
  const std::uint64_t size = empty ? 0 : (distance - 1) / pace + 1;
  if (size > std::uint64_t(kLongest))
    call.fail("{} numbers exceed the limit of {}", size, kLongest);
  std::vector<Value> numbers;
  numbers.reserve(size);
  for (std::uint64_t i = 0; i < size; ++i)
    numbers.push_back(Value::integer(std::int64_t(std::uint64_t(first) + i * std::uint64_t(step))));
  std::string label = step == 1 ? fmt::format("range({}, {})", first, end)
                                : fmt::format("range({}, {}, {})", first, end, step);
  return call.runtime.list(std::move(numbers), Sequence::Kind::range, std::move(label));
}

/// What dict() and namespace() take: a mapping or pairs, then named values.
template <typename Add>
void for_each_entry(BuiltinCall& call, Add&& add) {
  const auto& positional = call.arguments.positional;
  if (positional.size() > 1) call.fail("at most one argument without a name is expected");
  if (!positional.empty()) {
    const Value& source = positional[0];
    if (source.is_mapping()) {
      for (const auto& [key, value] : source.as_mapping().entries) add(key, value);
    } else {
      const auto pairs = iterate(call.runtime, source);
      for (const Value& item : pairs->items) {
        const auto pair = iterate(call.runtime, item);
        if (pair->items.size() != 2) call.fail("expected pairs of key and value");
        add(pair->items[0], pair->items[1]);
      }
    }
  }
  for (const auto& [name, value] : call.arguments.named) add(call.runtime.text(name), value);
}

Value make_dict(BuiltinCall& call) {
  MappingBuilder builder(call.runtime);
  for_each_entry(call, [&](const Value& key, const Value& value) { builder.set(key, value); });
  return call.runtime.mapping(std::move(builder));
}

Value make_namespace(BuiltinCall& call) {
  const Value result = call.runtime.create<Namespace>();
  for_each_entry(call, [&](const Value& key, const Value& value) {
    if (!key.is_text()) call.fail("expected names, found a '{}'", type_name(key));
    static_cast<Namespace&>(result.as_object()).set(call.runtime, key.as_text(), value);
  });
  return result;
}

Value make_cycler(BuiltinCall& call) {
  if (call.arguments.positional.empty()) call.fail("at least one item has to be provided");
  call.runtime.charge(call.arguments.positional.size() * sizeof(Value));
  return call.runtime.create<Cycler>(call.arguments.positional);
}

Value make_joiner(BuiltinCall& call) {
  return call.runtime.create<Joiner>(call.get(0, Value::constant(", ")));
}

/// The template's own words: no place is added, the caller shows them as they are.
Value raise_exception(BuiltinCall& call) {
  throw Error(ErrorCode::invalid_argument, to_text(call.runtime, call.at(0)));
}

Value strftime_now(BuiltinCall& call) {
  const std::string& format = call.text(0);
  // Python's now() knows no time zone: those two print nothing.
  std::string checked;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      checked += format[i];
      continue;
    }
    const bool unpadded = format.compare(i + 1, 1, "-") == 0;
    const std::size_t letter = i + (unpadded ? 2 : 1);
    constexpr std::string_view kKnown = "aAbBcdDeFgGhHIjklmMnprRStTuUVwWxXyYzZ%";
    // Widths and other flags of the C library could make the text as long as one likes.
    if (letter >= format.size() || kKnown.find(format[letter]) == std::string_view::npos)
      call.fail("'{}' is no date format that is supported", format);
    if (format[letter] != 'z' && format[letter] != 'Z') checked += format.substr(i, letter - i + 1);
    i = letter;
  }
  if (checked.empty()) return call.runtime.text({});
  call.runtime.check_text_size(checked.size() * 16);
  const time_t now = ::time(nullptr);
  struct tm local {};
  localtime_r(&now, &local);
  std::string result(checked.size() * 64 + 64, '\0');
  result.resize(::strftime(result.data(), result.size(), checked.c_str(), &local));
  return call.runtime.text(std::move(result));
}

constexpr std::array kGlobals = {
    Builtin{"range", "start stop? step?", make_range},
    Builtin{"dict", "*", make_dict},
    Builtin{"namespace", "*", make_namespace},
    Builtin{"cycler", "*", make_cycler},
    Builtin{"joiner", "sep?", make_joiner},
    Builtin{"raise_exception", "message", raise_exception},
    Builtin{"strftime_now", "format", strftime_now},
};

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  static const auto objects = [] {
    std::map<std::string_view, std::unique_ptr<BuiltinObject>> result;
    for (const Builtin& builtin : kGlobals)
      result.emplace(builtin.name, std::make_unique<BuiltinObject>(builtin, Value()));
    return result;
  }();
  const auto found = objects.find(name);
  if (found == objects.end()) return std::nullopt;
  return Value::object(found->second.get());
}

}  // namespace isotope::text::jinja
