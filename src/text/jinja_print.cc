// Values as text: str(), repr() and json.dumps().
#include <algorithm>
#include <cmath>

#include "text/jinja_number.h"
#include "text/jinja_runtime.h"
#include "text/jinja_text.h"
#include "text/jinja_value.h"

namespace isotope::text::jinja {

namespace {

/// repr() into one growing text. Values share their parts, so what prints may be far larger than
/// what is stored: the size is checked on the way.
class Printer {
 public:
  explicit Printer(Runtime& runtime) : runtime_(runtime) {}

  void print(const Value& value) {
    runtime_.step();
    runtime_.check_text_size(out.size());
    switch (value.type()) {
      case Value::Type::undefined:
        out += "Undefined";
        break;
      case Value::Type::text:
        print_text(value);
        break;
      case Value::Type::sequence:
        print_sequence(value.as_sequence());
        break;
      case Value::Type::mapping:
        print_mapping(value.as_mapping());
        break;
      default:
        out += to_text(runtime_, value);
    }
  }

  std::string out;

 private:
  void print_text(const Value& value) {
    runtime_.work(value.as_text().size());
    if (value.is_markup()) out += "Markup(";
    out += utf8::quoted(value.as_text());
    if (value.is_markup()) out += ")";
  }

  void print_items(const std::vector<Value>& items) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      print(items[i]);
    }
  }

  void print_sequence(const Sequence& sequence) {
    switch (sequence.kind) {
      case Sequence::Kind::range:
      case Sequence::Kind::generator:
        out += sequence.label;
        break;
      case Sequence::Kind::tuple:
        out += "(";
        print_items(sequence.items);
        out += sequence.items.size() == 1 ? ",)" : ")";
        break;
      case Sequence::Kind::list:
        out += "[";
        print_items(sequence.items);
        out += "]";
        break;
      case Sequence::Kind::keys:
      case Sequence::Kind::values:
      case Sequence::Kind::items:
        out += sequence.kind == Sequence::Kind::keys     ? "dict_keys(["
               : sequence.kind == Sequence::Kind::values ? "dict_values(["
                                                         : "dict_items([";
        print_items(sequence.items);
        out += "])";
        break;
    }
  }

  void print_mapping(const Mapping& mapping) {
    out += "{";
    for (std::size_t i = 0; i < mapping.entries.size(); ++i) {
      if (i > 0) out += ", ";
      print(mapping.entries[i].first);
      out += ": ";
      print(mapping.entries[i].second);
    }
    out += "}";
  }

  Runtime& runtime_;
};

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value) {
    runtime_.step();
    runtime_.check_text_size(out.size());
    switch (value.type()) {
      case Value::Type::none:
        out += "null";
        return;
      case Value::Type::boolean:
        out += value.as_boolean() ? "true" : "false";
        return;
      case Value::Type::integer:
        out += fmt::format("{}", value.as_integer());
        return;
      case Value::Type::real:
        out += number(value.as_real());
        return;
      case Value::Type::text:
        write_text(value.as_text());
        return;
      case Value::Type::mapping:
        write_mapping(value.as_mapping());
        return;
      case Value::Type::sequence:
        if (value.as_sequence().kind == Sequence::Kind::list ||
            value.as_sequence().kind == Sequence::Kind::tuple)
          return write_list(value.as_sequence());
        break;
      default:
        break;
    }
    if (value.is_undefined()) runtime_.fail("tojson: {}", describe_undefined(value));
    runtime_.fail("tojson: a value of type {} has no JSON form", type_name(value));
  }

  std::string out;

 private:
  static std::string describe_undefined(const Value& value) {
    return value.hint().empty() ? "the value is undefined" : std::string(value.hint());
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return real_to_text(value);
  }

  void write_text(std::string_view text) {
    runtime_.work(text.size());
    out += '"';
    for (std::size_t position = 0; position < text.size();) {
      const char32_t c = utf8::next_code_point(text, position);
      if (c == '"' || c == '\\') {
        out += '\\';
        out += char(c);
      } else if (c < 0x20) {
        write_control(c);
      } else if (c >= 0x7F && style_.ascii_only) {
        write_escaped(c);
      } else {
        utf8::append_utf8(out, c);
      }
    }
    out += '"';
  }

  void write_control(char32_t c) {
    constexpr std::string_view kNamed = "\b\t\n\f\r";
    const std::size_t place = kNamed.find(char(c));
    if (c != 0 && place != std::string_view::npos) {
      out += '\\';
      out += "btnfr"[place];
    } else {
      out += fmt::format("\\u{:04x}", unsigned(c));
    }
  }

  void write_escaped(char32_t c) {
    if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", unsigned(c));
    } else {
      const unsigned pair = unsigned(c) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (pair >> 10), 0xDC00 + (pair & 0x3FF));
    }
  }

  void new_line() {
    if (!style_.indent) return;
    runtime_.check_text_size(out.size() + style_.indent->size() * std::size_t(level_));
    out += '\n';
    for (int i = 0; i < level_; ++i) out += *style_.indent;
  }

  /// `write_item(i)` for each of `size` items, between brackets.
  template <typename WriteItem>
  void write_items(char open, char close, std::size_t size, WriteItem&& write_item) {
    out += open;
    if (size > 0) {
      ++level_;
      for (std::size_t i = 0; i < size; ++i) {
        if (i > 0) out += style_.item_separator;
        new_line();
        write_item(i);
      }
      --level_;
      new_line();
    }
    out += close;
  }

  void write_list(const Sequence& list) {
    write_items('[', ']', list.items.size(), [&](std::size_t i) { write(list.items[i]); });
  }

  void write_mapping(const Mapping& mapping) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : mapping.entries) entries.push_back(&entry);
    if (style_.sorted_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](auto* a, auto* b) { return less(runtime_, a->first, b->first); });
    }
    write_items('{', '}', entries.size(), [&](std::size_t i) {
      write_key(entries[i]->first);
      out += style_.key_separator;
      write(entries[i]->second);
    });
  }

  void write_key(const Value& key) {
    if (key.is_text()) return write_text(key.as_text());
    if (!key.is_number() && !key.is_none())
      runtime_.fail("tojson: a key of type {} has no JSON form", type_name(key));
    out += '"';
    write(key);
    out += '"';
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

std::string to_text(Runtime& runtime, const Value& value) {
  switch (value.type()) {
    case Value::Type::undefined:
      return "";
    case Value::Type::none:
      return "None";
    case Value::Type::boolean:
      return value.as_boolean() ? "True" : "False";
    case Value::Type::integer:
      return fmt::format("{}", value.as_integer());
    case Value::Type::real:
      return real_to_text(value.as_real());
    case Value::Type::text:
      runtime.work(value.as_text().size());
      return value.as_text();
    case Value::Type::object: {
      const Runtime::Nested nested(runtime);  // a namespace may hold itself
      return value.as_object().description(runtime);
    }
    case Value::Type::sequence:
    case Value::Type::mapping:
      break;
  }
  return representation(runtime, value);
}

std::string representation(Runtime& runtime, const Value& value) {
  Printer printer(runtime);
  printer.print(value);
  return std::move(printer.out);
}

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value);
  return std::move(writer.out);
}

}  // namespace isotope::text::jinja
