#include "text/jinja_methods.h"

#include <algorithm>

#include "text/jinja_builtin.h"
#include "text/jinja_format.h"
#include "text/jinja_operations.h"
#include "text/jinja_runtime.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

const std::string& self(const BuiltinCall& call) { return call.self.as_text(); }

/// Methods of markup give markup.
Value text(const BuiltinCall& call, std::string_view result) {
  return call.runtime.text(std::string(result), call.self.is_markup());
}

Value texts(const BuiltinCall& call, const std::vector<std::string_view>& pieces,
            Sequence::Kind kind = Sequence::Kind::list) {
  std::vector<Value> items;
  call.runtime.check_count(pieces.size());
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) items.push_back(text(call, piece));
  return call.runtime.list(std::move(items), kind);
}

template <std::string (*convert)(std::string_view)>
Value method_convert(BuiltinCall& call) {
  call.runtime.work(4 * self(call).size());
  return text(call, convert(self(call)));
}

template <bool (*predicate)(std::string_view)>
Value method_predicate(BuiltinCall& call) {
  call.runtime.work(self(call).size());
  return Value::boolean(predicate(self(call)));
}

template <utf8::Side side>
Value method_strip(BuiltinCall& call) {
  if (call.is_none(0)) return text(call, utf8::strip(self(call), side));
  // Every character may be compared with every one to strip.
  call.runtime.work(self(call).size() * (1 + call.text(0).size() / 16));
  return text(call, utf8::strip(self(call), side, call.text(0)));
}

template <bool from_right>
Value method_split(BuiltinCall& call) {
  const std::int64_t limit = call.integer(1, -1);
  call.runtime.work(self(call).size());
  if (call.is_none(0)) {
    call.runtime.check_count(self(call).size() / 2);
    return texts(
        call, from_right ? utf8::split_right(self(call), limit) : utf8::split(self(call), limit));
  }
  const std::string& separator = call.text(0);
  if (separator.empty()) call.fail("the separator is empty");
  call.runtime.check_count(utf8::count(self(call), separator));
  return texts(call, from_right ? utf8::split_right(self(call), separator, limit)
                                : utf8::split(self(call), separator, limit));
}

template <bool from_right>
Value method_partition(BuiltinCall& call) {
  const std::string_view whole = self(call);
  const std::string& separator = call.text(0);
  if (separator.empty()) call.fail("the separator is empty");
  call.runtime.work(whole.size());
  const std::size_t found =
      from_right ? utf8::find_last(whole, separator) : utf8::find(whole, separator);
  std::vector<std::string_view> pieces = {whole, "", ""};
  if (found != std::string_view::npos)
    pieces = {whole.substr(0, found), separator, whole.substr(found + separator.size())};
  else if (from_right)
    std::swap(pieces[0], pieces[2]);
  return texts(call, pieces, Sequence::Kind::tuple);
}

Value method_split_lines(BuiltinCall& call) {
  call.runtime.work(self(call).size());
  call.runtime.check_count(self(call).size());
  return texts(call, utf8::split_lines(self(call), call.flag(0, false)));
}

/// The part of the text that `start` and `end` (parameters 1 and 2) leave, and where it begins.
/// nullopt if they leave nothing, not even an empty text.
struct Window {
  std::string_view text;
  std::int64_t first;  // in code points
};
std::optional<Window> window(const BuiltinCall& call) {
  const std::string_view whole = self(call);
  call.runtime.work(whole.size());
  if (call.is_none(1) && call.is_none(2)) return Window{whole, 0};
  const std::int64_t size = *length(call.self);
  const auto clamp = [&](std::size_t parameter, std::int64_t fallback) {
    if (call.is_none(parameter)) return fallback;
    const std::int64_t position = call.integer(parameter);
    return position < 0 ? std::max<std::int64_t>(position + size, 0) : position;
  };
  const std::int64_t first = clamp(1, 0), end = std::min(clamp(2, size), size);
  if (first > end) return std::nullopt;
  const std::size_t begin = utf8::byte_offset(whole, std::size_t(first));
  return Window{whole.substr(begin, utf8::byte_offset(whole, std::size_t(end)) - begin), first};
}

template <bool from_right, bool must_exist>
Value method_find(BuiltinCall& call) {
  const std::string& needle = call.text(0);
  if (const auto part = window(call)) {
    const std::size_t found =
        from_right ? utf8::find_last(part->text, needle) : utf8::find(part->text, needle);
    if (found != std::string_view::npos)
      return Value::integer(part->first +
                            std::int64_t(utf8::code_point_count(part->text.substr(0, found))));
  }
  if (must_exist) call.fail("the text is not there");
  return Value::integer(-1);
}

Value method_count(BuiltinCall& call) {
  const auto part = window(call);
  return Value::integer(part ? std::int64_t(utf8::count(part->text, call.text(0))) : 0);
}

template <bool at_end>
Value method_has_affix(BuiltinCall& call) {
  const auto part = window(call);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_text()) call.fail("expected a string or a tuple of strings");
    return part && (at_end ? part->text.ends_with(affix.as_text())
                           : part->text.starts_with(affix.as_text()));
  };
  const Value& affix = call.at(0);
  if (affix.is_undefined()) call.runtime.fail_undefined(affix);
  if (!affix.is_sequence() || affix.as_sequence().kind != Sequence::Kind::tuple)
    return Value::boolean(matches(affix));
  const auto& any = affix.as_sequence().items;
  call.runtime.step(std::int64_t(any.size()));
  return Value::boolean(std::any_of(any.begin(), any.end(), matches));
}

Value method_remove_prefix(BuiltinCall& call) {
  std::string_view rest = self(call);
  if (rest.starts_with(call.text(0))) rest.remove_prefix(call.text(0).size());
  return text(call, rest);
}

Value method_remove_suffix(BuiltinCall& call) {
  std::string_view rest = self(call);
  if (rest.ends_with(call.text(0))) rest.remove_suffix(call.text(0).size());
  return text(call, rest);
}

Value method_join(BuiltinCall& call) {
  const auto items = iterate(call.runtime, call.at(0));
  for (const Value& item : items->items) {
    if (!item.is_text()) call.fail("expected strings, found '{}'", type_name(item));
  }
  return join(call.runtime, call.self, items->items);
}

Value method_replace(BuiltinCall& call) {
  return replace_text(call.runtime, call.self, call.text(0),
                      call.self.is_markup() ? escaped(call.runtime, call.at(1)) : call.text(1),
                      call.integer(2, -1));
}

/// left: how much of the padding goes before the text, in halves.
template <int left_halves>
Value method_pad(BuiltinCall& call) {
  const std::int64_t width = call.integer(0);
  const std::string fill = call.has(1) ? call.text(1) : " ";
  if (utf8::code_point_count(fill) != 1) call.fail("the fill character must be one character");
  const std::int64_t missing = width - *length(call.self);
  if (missing <= 0) return call.self;
  if (std::size_t(missing) > ~std::size_t(0) / 8) call.fail("the width {} is too large", width);
  call.runtime.check_text_size(self(call).size() + std::size_t(missing) * fill.size());
  std::int64_t left = missing * left_halves / 2;
  // Python's centre leans to the left if the width is even, and to the right if it is odd.
  if (left_halves == 1) left = missing / 2 + (missing & width & 1);
  std::string result;
  for (std::int64_t i = 0; i < left; ++i) result += fill;
  result += self(call);
  for (std::int64_t i = left; i < missing; ++i) result += fill;
  return text(call, result);
}

Value method_zero_fill(BuiltinCall& call) {
  const std::int64_t missing = call.integer(0) - *length(call.self);
  if (missing <= 0) return call.self;
  call.runtime.check_text_size(std::size_t(missing));
  const bool sign = self(call).starts_with('-') || self(call).starts_with('+');
  std::string result = self(call);
  result.insert(sign ? 1 : 0, std::size_t(missing), '0');
  return text(call, result);
}

Value method_format(BuiltinCall& call) {
  return format_braces(call.runtime, call.self, call.arguments);
}

Value method_get(BuiltinCall& call) {
  const Value* found = call.self.as_mapping().find(call.runtime, call.at(0));
  return found ? *found : call.get(1, Value::none());
}

template <Sequence::Kind kind>
Value method_view(BuiltinCall& call) {
  std::vector<Value> items;
  call.runtime.check_count(call.self.as_mapping().entries.size());
  for (const auto& [key, value] : call.self.as_mapping().entries) {
    items.push_back(kind == Sequence::Kind::keys     ? key
                    : kind == Sequence::Kind::values ? value
                                                     : call.runtime.pair(key, value));
  }
  return call.runtime.list(std::move(items), kind);
}

Value method_copy(BuiltinCall& call) { return call.self; }

Value method_item_count(BuiltinCall& call) {
  const auto& items = call.self.as_sequence().items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(call.runtime, item, call.at(0));
  }));
}

Value method_item_index(BuiltinCall& call) {
  const auto& items = call.self.as_sequence().items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(call.runtime, items[i], call.at(0))) return Value::integer(std::int64_t(i));
  }
  call.fail("the value is not in the list");
}

constexpr Builtin kTextMethods[] = {
    {"capitalize", "", method_convert<utf8::capitalize>},
    {"casefold", "", method_convert<utf8::lower>},
    {"center", "/ width fillchar?", method_pad<1>},
    {"count", "/ sub start? end?", method_count},
    {"endswith", "/ suffix start? end?", method_has_affix<true>},
    {"find", "/ sub start? end?", method_find<false, false>},
    {"format", "*", method_format},
    {"index", "/ sub start? end?", method_find<false, true>},
    {"isalnum", "", method_predicate<utf8::all_letters_or_digits>},
    {"isalpha", "", method_predicate<utf8::all_letters>},
    {"isdecimal", "", method_predicate<utf8::all_digits>},
    {"isdigit", "", method_predicate<utf8::all_digits>},
    {"isidentifier", "", method_predicate<utf8::is_identifier>},
    {"islower", "", method_predicate<utf8::all_lower>},
    {"isnumeric", "", method_predicate<utf8::all_digits>},
    {"isspace", "", method_predicate<utf8::all_space>},
    {"isupper", "", method_predicate<utf8::all_upper>},
    {"join", "/ iterable", method_join},
    {"ljust", "/ width fillchar?", method_pad<0>},
    {"lower", "", method_convert<utf8::lower>},
    {"lstrip", "/ chars?", method_strip<utf8::Side::left>},
    {"partition", "/ sep", method_partition<false>},
    {"removeprefix", "/ prefix", method_remove_prefix},
    {"removesuffix", "/ suffix", method_remove_suffix},
    {"replace", "/ old new count?", method_replace},
    {"rfind", "/ sub start? end?", method_find<true, false>},
    {"rindex", "/ sub start? end?", method_find<true, true>},
    {"rjust", "/ width fillchar?", method_pad<2>},
    {"rpartition", "/ sep", method_partition<true>},
    {"rsplit", "sep? maxsplit?", method_split<true>},
    {"rstrip", "/ chars?", method_strip<utf8::Side::right>},
    {"split", "sep? maxsplit?", method_split<false>},
    {"splitlines", "keepends?", method_split_lines},
    {"startswith", "/ prefix start? end?", method_has_affix<false>},
    {"strip", "/ chars?", method_strip<utf8::Side::both>},
    {"swapcase", "", method_convert<utf8::swap_case>},
    {"title", "", method_convert<utf8::title>},
    {"upper", "", method_convert<utf8::upper>},
    {"zfill", "/ width", method_zero_fill},
};

constexpr Builtin kMappingMethods[] = {
    {"copy", "", method_copy},
    {"get", "/ key default?", method_get},
    {"items", "", method_view<Sequence::Kind::items>},
    {"keys", "", method_view<Sequence::Kind::keys>},
    {"values", "", method_view<Sequence::Kind::values>},
};

constexpr Builtin kListMethods[] = {
    {"copy", "", method_copy},
    {"count", "/ value", method_item_count},
    {"index", "/ value", method_item_index},
};

const Builtin* find_method(const Value& object, std::string_view name) {
  static const BuiltinTable text_methods = {std::span(kTextMethods)};
  static const BuiltinTable mapping_methods = {std::span(kMappingMethods)};
  static const BuiltinTable list_methods = {std::span(kListMethods)};
  if (object.is_text()) return text_methods.find(name);
  if (object.is_mapping()) return mapping_methods.find(name);
  if (object.is_sequence() && object.as_sequence().indexable()) {
    const bool has_copy = object.as_sequence().kind == Sequence::Kind::list;
    return name == "copy" && !has_copy ? nullptr : list_methods.find(name);
  }
  return nullptr;
}

}  // namespace

std::optional<Value> call_method(Runtime& runtime, const Value& object, std::string_view name,
                                 Arguments& arguments) {
  const Builtin* method = find_method(object, name);
  if (!method) return std::nullopt;
  return invoke(runtime, *method, object, arguments);
}

std::optional<Value> bound_method(Runtime& runtime, const Value& object, std::string_view name) {
  const Builtin* method = find_method(object, name);
  if (!method) return std::nullopt;
  return runtime.create<BuiltinObject>(*method, object);
}

bool is_mutating_method(const Value& object, std::string_view name) {
  const auto among = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is_mapping()) return among({"clear", "pop", "popitem", "setdefault", "update"});
  return object.is_sequence() && object.as_sequence().kind == Sequence::Kind::list &&
         among({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"});
}

}  // namespace isotope::text::jinja
