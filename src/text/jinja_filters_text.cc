// Filters on texts.
#include <algorithm>

#include "text/jinja_builtin.h"
#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_operations.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

/// upper, lower…: what prints is converted; markup stays markup.
template <std::string (*convert)(std::string_view)>
Value filter_convert(BuiltinCall& call) {
  const Value text = soft_text(call.runtime, call.self);
  call.runtime.work(4 * text.as_text().size());
  return call.runtime.text(convert(text.as_text()), text.is_markup());
}

/// Words begin after white space, hyphens and opening brackets; the rest of a word is in lower
/// case.
Value filter_title(BuiltinCall& call) {
  const std::string text = to_text(call.runtime, call.self);
  call.runtime.work(4 * text.size());
  const auto separates = [](char32_t c) {
    return utf8::is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const bool separator = separates(utf8::next_code_point(text, at));
    std::size_t first_end = at;
    for (std::size_t next = at; next < text.size(); at = next) {
      if (separates(utf8::next_code_point(text, next)) != separator) break;
    }
    out += utf8::upper(std::string_view(text).substr(begin, first_end - begin));
    out += utf8::lower(std::string_view(text).substr(first_end, at - first_end));
  }
  return call.runtime.text(std::move(out));
}

Value filter_trim(BuiltinCall& call) {
  const Value text = soft_text(call.runtime, call.self);
  Arguments arguments;
  arguments.positional.push_back(call.get(0, Value::none()));
  return *call_method(call.runtime, text, "strip", arguments);
}

Value filter_replace(BuiltinCall& call) {
  const Value text = call.runtime.text(to_text(call.runtime, call.self));
  const std::int64_t limit = call.is_none(2) ? -1 : call.integer(2);
  return replace_text(call.runtime, text, to_text(call.runtime, call.at(0)),
                      to_text(call.runtime, call.at(1)), limit);
}

Value filter_format(BuiltinCall& call) {
  if (!call.arguments.positional.empty() && !call.arguments.named.empty())
    call.fail("positional and named arguments cannot be mixed");
  const Value format = soft_text(call.runtime, call.self);
  if (call.arguments.named.empty()) {
    return format_percent(call.runtime, format,
                          call.runtime.list(call.arguments.positional, Sequence::Kind::tuple));
  }
  MappingBuilder named(call.runtime);
  for (const auto& [name, value] : call.arguments.named) named.set(call.runtime.text(name), value);
  return format_percent(call.runtime, format, call.runtime.mapping(std::move(named)));
}

std::string indentation(BuiltinCall& call, std::size_t parameter) {
  if (call.has(parameter) && call.at(parameter).is_text()) return call.text(parameter);
  const std::int64_t width = std::max<std::int64_t>(call.integer(parameter, 4), 0);
  call.runtime.check_text_size(std::size_t(width));
  return std::string(std::size_t(width), ' ');
}

Value filter_indent(BuiltinCall& call) {
  if (call.self.is_undefined()) call.runtime.fail_undefined(call.self);
  if (!call.self.is_text()) call.fail("expected a string, found '{}'", type_name(call.self));
  const std::string indent = indentation(call, 0);
  const bool first = call.flag(1, false), blank = call.flag(2, false);
  // A newline at the end of the text begins one more, empty, line.
  const std::string text = call.self.as_text() + "\n";
  call.runtime.work(text.size());
  const auto lines = utf8::split_lines(text, false);
  std::string out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += indent;
    out += lines[i];
    call.runtime.check_text_size(out.size());
  }
  return call.runtime.text(std::move(out), call.self.is_markup());
}

Value filter_truncate(BuiltinCall& call) {
  const Value text = call.self.is_undefined() ? soft_text(call.runtime, call.self) : call.self;
  if (!text.is_text()) call.fail("expected a string, found '{}'", type_name(text));
  const std::int64_t limit = call.integer(0, 255);
  const bool kill_words = call.flag(1, false);
  const std::string end = call.has(2) ? call.text(2) : "...";
  const std::int64_t leeway = call.is_none(3) ? 5 : call.integer(3);
  const auto end_length = std::int64_t(utf8::code_point_count(end));
  if (limit < end_length) call.fail("the length is less than that of the end");
  if (leeway < 0) call.fail("the leeway is negative");
  const std::int64_t size = *length(text);
  if (size <= limit || size - limit <= leeway) return text;
  const std::string& whole = text.as_text();
  std::string cut = whole.substr(0, utf8::byte_offset(whole, std::size_t(limit - end_length)));
  if (!kill_words) {
    const std::size_t space = cut.rfind(' ');
    if (space != std::string::npos) cut.resize(space);
  }
  return call.runtime.text(cut + end, text.is_markup());
}

Value filter_center(BuiltinCall& call) {
  Arguments arguments;
  arguments.positional.push_back(Value::integer(call.integer(0, 80)));
  return *call_method(call.runtime, soft_text(call.runtime, call.self), "center", arguments);
}

Value filter_wordcount(BuiltinCall& call) {
  const std::string text = to_text(call.runtime, call.self);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const bool word = utf8::next_code_point(text, at) == '_' ||
                      utf8::all_letters_or_digits(std::string_view(text).substr(begin, at - begin));
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::integer(words);
}

Value filter_string(BuiltinCall& call) { return soft_text(call.runtime, call.self); }

Value filter_escape(BuiltinCall& call) {
  return call.runtime.text(escaped(call.runtime, call.self), true);
}

Value filter_force_escape(BuiltinCall& call) {
  return call.runtime.text(utf8::escape_html(to_text(call.runtime, call.self)), true);
}

Value filter_safe(BuiltinCall& call) {
  return call.runtime.text(to_text(call.runtime, call.self), true);
}

constexpr Builtin kFilters[] = {
    {"capitalize", "", filter_convert<utf8::capitalize>},
    {"center", "width?", filter_center},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"forceescape", "", filter_force_escape},
    {"format", "*", filter_format},
    {"indent", "width? first? blank?", filter_indent},
    {"lower", "", filter_convert<utf8::lower>},
    {"replace", "old new count?", filter_replace},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"title", "", filter_title},
    {"trim", "chars?", filter_trim},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"upper", "", filter_convert<utf8::upper>},
    {"wordcount", "", filter_wordcount},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace isotope::text::jinja
