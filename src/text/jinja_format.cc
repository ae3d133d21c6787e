#include "text/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja_number.h"
#include "text/jinja_operations.h"
#include "text/jinja_runtime.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

/// How one value is to look, from either syntax.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<', '>', '^', '=' (after the sign); 0: by type
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = 0;
};

// Python takes any precision; more digits than a double has ever are of no use.
constexpr std::int64_t kMaxPrecision = 400;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::int64_t read_count(Runtime& runtime, std::string_view text, std::size_t& at) {
  std::int64_t value = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    value = value * 10 + (text[at] - '0');
    runtime.check_text_size(std::size_t(value));
  }
  return value;
}

std::string padded(Runtime& runtime, const Spec& spec, std::string_view sign, std::string_view body,
                   char default_align) {
  const char align = spec.align ? spec.align : default_align;
  const auto size = std::int64_t(utf8::code_point_count(sign) + utf8::code_point_count(body));
  const std::int64_t missing = std::max<std::int64_t>(spec.width - size, 0);
  runtime.check_text_size(body.size() + std::size_t(missing) * spec.fill.size());
  const std::int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out;
  if (align == '=') out += sign;
  for (std::int64_t i = 0; i < left; ++i) out += spec.fill;
  if (align != '=') out += sign;
  out += body;
  for (std::int64_t i = left; i < missing; ++i) out += spec.fill;
  return out;
}

std::string_view sign_text(const Spec& spec, bool negative) {
  return negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

/// Thousands are set apart in the digits before the point.
std::string grouped(std::string digits, char separator) {
  if (!separator) return digits;
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (std::size_t i = whole; i > 3;) {
    i -= 3;
    digits.insert(i, 1, separator);
  }
  return digits;
}

std::string format_integer(Runtime& runtime, const Spec& spec, std::int64_t value) {
  const std::uint64_t magnitude = value < 0 ? -std::uint64_t(value) : std::uint64_t(value);
  std::string digits, prefix;
  switch (spec.type) {
    case 'x':
    case 'X':
      digits = spec.type == 'x' ? fmt::format("{:x}", magnitude) : fmt::format("{:X}", magnitude);
      prefix = spec.type == 'x' ? "0x" : "0X";
      break;
    case 'o':
      digits = fmt::format("{:o}", magnitude);
      prefix = "0o";
      break;
    case 'b':
      digits = fmt::format("{:b}", magnitude);
      prefix = "0b";
      break;
    default:
      digits = grouped(fmt::format("{}", magnitude), spec.grouping);
  }
  std::string sign(sign_text(spec, value < 0));
  if (spec.alternate) sign += prefix;
  return padded(runtime, spec, sign, digits, '>');
}

std::string format_real(Runtime& runtime, const Spec& spec, double value) {
  if (spec.precision > kMaxPrecision)
    runtime.fail("a precision of {} digits exceeds the limit of {}", spec.precision, kMaxPrecision);
  const int precision = spec.precision < 0 ? 6 : int(spec.precision);
  const double magnitude = std::fabs(spec.type == '%' ? value * 100 : value);
  std::string digits;
  if (!std::isfinite(magnitude)) {
    digits = real_to_text(magnitude);
  } else {
    switch (spec.type) {
      case 'e':
        digits = fmt::format("{:.{}e}", magnitude, precision);
        break;
      case 'E':
        digits = fmt::format("{:.{}E}", magnitude, precision);
        break;
      case 'g':
      case 'G':
        digits = spec.type == 'g' ? fmt::format("{:.{}g}", magnitude, std::max(precision, 1))
                                  : fmt::format("{:.{}G}", magnitude, std::max(precision, 1));
        break;
      case 0:
        digits = spec.precision < 0 ? real_to_text(magnitude)
                                    : fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
        if (spec.precision >= 0 && digits.find_first_of(".e") == std::string::npos &&
            int(digits.size()) < precision)
          digits += ".0";
        break;
      default:
        digits = fmt::format("{:.{}f}", magnitude, precision);
        if (spec.type == '%') digits += '%';
    }
  }
  return padded(runtime, spec, sign_text(spec, std::signbit(value) && !std::isnan(value)),
                grouped(std::move(digits), spec.grouping), '>');
}

std::string format_text(Runtime& runtime, const Spec& spec, std::string_view text) {
  if (spec.precision >= 0)
    text = text.substr(0, utf8::byte_offset(text, std::size_t(spec.precision)));
  return padded(runtime, spec, "", text, '<');
}

[[noreturn]] void fail_type(Runtime& runtime, const Value& value, char type) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  runtime.fail("the format '{}' does not take a '{}'", type, type_name(value));
}

std::int64_t integer_for(Runtime& runtime, const Value& value, char type) {
  if (value.integral()) return *value.integral();
  const auto whole = value.is_real() ? truncate_real(value.as_real()) : std::nullopt;
  if (!whole) fail_type(runtime, value, type);
  return *whole;
}

// ---- "%s" % values

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& arguments)
      : runtime_(runtime), text_(format.as_text()), markup_(format.is_markup()), given_(arguments) {
    if (given_.is_sequence() && given_.as_sequence().kind == Sequence::Kind::tuple)
      several_ = &given_.as_sequence().items;
  }

  Value run() {
    while (at_ < text_.size()) {
      if (text_[at_] != '%') {
        out_ += text_[at_++];
        continue;
      }
      ++at_;
      conversion();
      runtime_.step();
      runtime_.check_text_size(out_.size());
    }
    const bool leftover = several_ ? used_ < several_->size() : used_ == 0 && !given_.is_mapping();
    if (leftover && !given_.is_undefined() && !given_.is_sequence())
      runtime_.fail("not all arguments of the format are used");
    if (leftover && several_) runtime_.fail("not all arguments of the format are used");
    return runtime_.text(std::move(out_), markup_);
  }

 private:
  const Value& next_argument() {
    if (several_) {
      if (used_ == several_->size()) runtime_.fail("too few arguments for the format");
      return (*several_)[used_++];
    }
    if (used_++ > 0) runtime_.fail("too few arguments for the format");
    return given_;
  }

  char current() const {
    if (at_ >= text_.size()) runtime_.fail("the format ends inside a conversion");
    return text_[at_];
  }

  std::int64_t read_number() {
    if (current() != '*') return read_count(runtime_, text_, at_);
    ++at_;
    const Value& width = next_argument();
    if (!width.is_integer()) runtime_.fail("'*' in a format needs an integer");
    runtime_.check_text_size(std::size_t(std::max<std::int64_t>(width.as_integer(), 0)));
    return width.as_integer();
  }

  void conversion() {
    Spec spec;
    const Value* named = nullptr;
    if (current() == '(') {
      const std::size_t end = text_.find(')', at_);
      if (end == std::string::npos) runtime_.fail("a name in the format has no ')'");
      if (!given_.is_mapping()) runtime_.fail("a format with names needs a mapping");
      const std::string name = text_.substr(at_ + 1, end - at_ - 1);
      named = given_.as_mapping().find(name);
      if (!named) runtime_.fail("the format has no value for '{}'", name);
      at_ = end + 1;
    }
    for (; std::string_view("-+ 0#").find(current()) != std::string_view::npos; ++at_) {
      const char flag = text_[at_];
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
      if (flag == '#') spec.alternate = true;
      if (flag == '0' && spec.align != '<') spec.align = '=', spec.fill = "0";
    }
    if (spec.align == '<') spec.fill = " ";
    spec.width = read_number();
    if (spec.width < 0) spec.align = '<', spec.width = -spec.width;
    if (current() == '.') {
      ++at_;
      spec.precision = std::max<std::int64_t>(read_number(), 0);
    }
    spec.type = current();
    ++at_;
    if (spec.type == '%')
      out_ += '%';
    else
      convert(spec, named ? *named : next_argument());
  }

  void convert(Spec& spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        if (spec.align == '=' || spec.align == 0) spec.align = '>', spec.fill = " ";
        const bool plain = spec.type == 's';
        const std::string text = plain ? to_text(runtime_, value) : representation(runtime_, value);
        const bool escape = markup_ && !(plain && value.is_markup());
        out_ += format_text(runtime_, spec, escape ? utf8::escape_html(text) : text);
        break;
      }
      case 'c':
        if (!value.is_text() || utf8::code_point_count(value.as_text()) != 1)
          fail_type(runtime_, value, spec.type);
        out_ += format_text(runtime_, spec, value.as_text());
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        if (value.is_real() && (spec.type == 'x' || spec.type == 'X' || spec.type == 'o'))
          fail_type(runtime_, value, spec.type);
        out_ += format_integer(runtime_, spec, integer_for(runtime_, value, spec.type));
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.number()) fail_type(runtime_, value, spec.type);
        out_ += format_real(runtime_, spec, *value.number());
        break;
      default:
        runtime_.fail("the format has no conversion '%{}'", spec.type);
    }
  }

  Runtime& runtime_;
  const std::string& text_;
  const bool markup_;
  const Value& given_;
  const std::vector<Value>* several_ = nullptr;
  std::size_t used_ = 0;
  std::size_t at_ = 0;
  std::string out_;
};

// ---- "{}".format(values)

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Value& format, const Arguments& arguments)
      : runtime_(runtime), markup_(format.is_markup()), arguments_(arguments) {}

  std::string run(std::string_view text, int nested) {
    if (nested > 2) runtime_.fail("the fields of a format are nested too deep");
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const char c = text[at++];
      const bool doubled = at < text.size() && text[at] == c;
      if (c != '{' && c != '}') {
        out += c;
      } else if (doubled) {
        out += c;
        ++at;
      } else if (c == '}') {
        runtime_.fail("the format has a '}}' without a '{{'");
      } else {
        out += field(text, at, nested);
      }
      runtime_.check_text_size(out.size());
    }
    return out;
  }

 private:
  /// The field that begins at `at`, past its brace; `at` moves past its end.
  std::string field(std::string_view text, std::size_t& at, int nested) {
    runtime_.step();
    const std::size_t begin = at;
    for (int open = 1; open > 0; ++at) {
      if (at == text.size()) runtime_.fail("the format has a '{{' without a '}}'");
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
    }
    const std::string_view content = text.substr(begin, at - 1 - begin);
    const std::size_t name_end = std::min(content.find_first_of("!:"), content.size());
    Value value = find_value(content.substr(0, name_end));
    std::string_view rest = content.substr(name_end);
    if (rest.starts_with('!')) {
      const char conversion = rest.size() > 1 ? rest[1] : '\0';
      if (conversion == 'r' || conversion == 'a')
        value = runtime_.text(representation(runtime_, value));
      else if (conversion == 's')
        value = runtime_.text(to_text(runtime_, value));
      else
        runtime_.fail("the format has an unknown conversion after '!'");
      rest.remove_prefix(2);
    }
    if (!rest.empty() && rest[0] != ':') runtime_.fail("expected ':' in a field of the format");
    const std::string spec = rest.empty() ? "" : run(rest.substr(1), nested + 1);
    const bool escape = markup_ && !value.is_markup();
    std::string result = format_value(value, spec);
    return escape ? utf8::escape_html(result) : result;
  }

  Value find_value(std::string_view path) {
    std::size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = first_value(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      const bool item = path[0] == '[';
      path.remove_prefix(1);
      end = std::min(item ? path.find(']') : path.find_first_of(".["), path.size());
      const std::string name(path.substr(0, end));
      path.remove_prefix(item ? std::min(end + 1, path.size()) : end);
      const auto index = parse_integer(name, 10);
      if (item && index)
        value = get_item(runtime_, value, Value::integer(*index));
      else if (item)
        value = get_item(runtime_, value, runtime_.text(name));
      else
        value = get_attribute(runtime_, value, name);
      if (value.is_undefined()) runtime_.fail_undefined(value);
    }
    return value;
  }

  Value first_value(std::string_view name) {
    std::optional<std::int64_t> index;
    if (name.empty()) {
      index = next_++;
    } else if (is_digit(name[0])) {
      index = parse_integer(name, 10);
    }
    if (index) {
      if (*index < 0 || std::size_t(*index) >= arguments_.positional.size())
        runtime_.fail("the format has no argument {}", *index);
      return arguments_.positional[std::size_t(*index)];
    }
    for (const auto& [given, value] : arguments_.named) {
      if (given == name) return value;
    }
    runtime_.fail("the format has no argument '{}'", name);
  }

  Spec parse_spec(std::string_view text) {
    Spec spec;
    std::size_t at = 0;
    const auto is_align = [&](std::size_t i) {
      return i < text.size() && std::string_view("<>=^").find(text[i]) != std::string_view::npos;
    };
    std::size_t first = 0;
    if (!text.empty()) utf8::next_code_point(text, first);
    if (first > 0 && is_align(first)) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      at = first + 1;
    } else if (is_align(0)) {
      spec.align = text[at++];
    }
    const auto take = [&](std::string_view any) {
      const bool found = at < text.size() && any.find(text[at]) != std::string_view::npos;
      return found ? text[at++] : '\0';
    };
    if (const char sign = take("+- ")) spec.sign = sign;
    spec.alternate = take("#") != 0;
    if (at < text.size() && text[at] == '0' && !spec.align) spec.align = '=', spec.fill = "0";
    spec.width = read_count(runtime_, text, at);
    spec.grouping = take(",_");
    if (take(".")) spec.precision = read_count(runtime_, text, at);
    spec.type = take("sdxXobeEfFgG%");
    if (at != text.size()) runtime_.fail("'{}' is no format specification", text);
    return spec;
  }

  std::string format_value(const Value& value, std::string_view text) {
    if (text.empty()) return to_text(runtime_, value);
    const Spec spec = parse_spec(text);
    if (value.is_text()) {
      if ((spec.type && spec.type != 's') || spec.align == '=')
        fail_type(runtime_, value, spec.type);
      return format_text(runtime_, spec, value.as_text());
    }
    const bool as_real = std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
    if (spec.type == 's' || !value.number()) fail_type(runtime_, value, spec.type);
    if (value.is_real() && spec.type && !as_real) fail_type(runtime_, value, spec.type);
    if (value.is_real() || (spec.type && as_real))
      return format_real(runtime_, spec, *value.number());
    return format_integer(runtime_, spec, *value.integral());
  }

  Runtime& runtime_;
  const bool markup_;
  const Arguments& arguments_;
  std::int64_t next_ = 0;
};

}  // namespace

Value format_percent(Runtime& runtime, const Value& format, const Value& arguments) {
  runtime.work(format.as_text().size());
  return PercentFormatter(runtime, format, arguments).run();
}

Value format_braces(Runtime& runtime, const Value& format, const Arguments& arguments) {
  runtime.work(format.as_text().size());
  BraceFormatter formatter(runtime, format, arguments);
  return runtime.text(formatter.run(format.as_text(), 0), format.is_markup());
}

}  // namespace isotope::text::jinja
