#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/jinja_number.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

/// Newlines become "\n"; one at the end of the template is dropped.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
/// Part of a name or a number; every byte of a character outside ASCII counts, and is looked at
/// later.
bool is_word(char c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (c & 0x80);
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name)
      : source_(normalized(source)), text_(source_), name_(name) {
    if (!utf8::valid_utf8(text_)) fail("the template is not valid UTF-8");
  }

  std::vector<Token> run() {
    while (position_ < text_.size()) {
      const std::size_t tag = find_tag();
      if (tag == std::string_view::npos) {
        add_data(text_.substr(position_));
        advance_to(text_.size());
        break;
      }
      switch (text_[tag + 1]) {
        case '#':
          read_comment(tag);
          break;
        case '{':
          read_variable(tag);
          break;
        default:
          read_block(tag);
      }
    }
    add(TokenType::end);
    return std::move(tokens_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    isotope::fail(ErrorCode::corrupt_data, "{}, line {}: {}", name_, line_,
                  fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view rest() const { return text_.substr(position_); }
  bool at(std::string_view expected) const { return rest().starts_with(expected); }

  void advance_to(std::size_t position) {
    line_ += int(std::count(text_.begin() + std::ptrdiff_t(position_),
                            text_.begin() + std::ptrdiff_t(position), '\n'));
    position_ = position;
  }
  void advance(std::size_t count) { advance_to(position_ + count); }
  void skip_space() { advance_to(text_.size() - utf8::strip(rest(), utf8::Side::left).size()); }

  void add(TokenType type, std::string text = {}) {
    tokens_.push_back(Token{type, line_, std::move(text)});
  }
  void add_data(std::string_view data) {
    if (!data.empty()) add(TokenType::data, std::string(data));
  }

  std::size_t find_tag() const {
    for (std::size_t at = text_.find('{', position_);
         at != std::string_view::npos && at + 1 < text_.size(); at = text_.find('{', at + 1)) {
      const char next = text_[at + 1];
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return std::string_view::npos;
  }

  /// Adds the text before a tag at `tag` that begins with this sign ('-', '+' or neither), stripped
  /// by it.
  void add_data_before(std::size_t tag, char sign, bool is_block) {
    std::string_view data = text_.substr(position_, tag - position_);
    if (sign == '-') {
      data = utf8::strip(data, utf8::Side::right);
    } else if (sign != '+' && is_block) {
      const std::size_t newline = data.rfind('\n');
      const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool begins_line = line > 0 || at_line_start_;
      if (begins_line && utf8::strip(data.substr(line), utf8::Side::left).empty())
        data = data.substr(0, line);
    }
    add_data(data);
    advance_to(tag);
  }

  char sign_at(std::size_t position) const {
    return position < text_.size() && (text_[position] == '-' || text_[position] == '+')
               ? text_[position]
               : '\0';
  }

  /// At the end of a block or comment whose closing mark is `mark`: past it and what it strips.
  bool skip_closing(std::string_view mark) {
    if (at(mark)) {
      advance(mark.size());
      if (at("\n")) advance(1);
    } else if ((at("-") || at("+")) && text_.substr(position_ + 1).starts_with(mark)) {
      const bool strips = at("-");
      advance(1 + mark.size());
      if (strips) skip_space();
    } else {
      return false;
    }
    note_line_start();
    return true;
  }

  void note_line_start() { at_line_start_ = position_ > 0 && text_[position_ - 1] == '\n'; }

  void read_comment(std::size_t tag) {
    const char sign = sign_at(tag + 2);
    add_data_before(tag, sign, true);
    const std::size_t begin = tag + (sign ? 3 : 2);
    const std::size_t end = text_.find("#}", begin);
    if (end == std::string_view::npos) fail("the comment has no end: expected '#}}'");
    const bool has_sign = end > begin && (text_[end - 1] == '-' || text_[end - 1] == '+');
    advance_to(has_sign ? end - 1 : end);
    skip_closing("#}");
  }

  void read_variable(std::size_t tag) {
    const char sign = sign_at(tag + 2);
    add_data_before(tag, sign, false);
    add(TokenType::variable_begin);
    advance(sign ? 3 : 2);
    read_words([&] {
      if (at("}}")) {
        add(TokenType::variable_end);
        advance(2);
      } else if (at("-}}")) {
        add(TokenType::variable_end);
        advance(3);
        skip_space();
      } else {
        return false;
      }
      note_line_start();
      return true;
    });
  }

  void read_block(std::size_t tag) {
    const char sign = sign_at(tag + 2);
    add_data_before(tag, sign, true);
    if (read_raw(tag + (sign ? 3 : 2))) return;
    add(TokenType::block_begin);
    advance(sign ? 3 : 2);
    read_words([&] {
      const int line = line_;
      if (!skip_closing("%}")) return false;
      tokens_.push_back(Token{TokenType::block_end, line, {}});
      return true;
    });
  }

  std::size_t skip_space_from(std::size_t position) const {
    return text_.size() - utf8::strip(text_.substr(position), utf8::Side::left).size();
  }

  /// If a block whose content begins at `inside` is {% raw %}: adds its body as data.
  bool read_raw(std::size_t inside) {
    std::size_t position = skip_space_from(inside);
    if (!text_.substr(position).starts_with("raw")) return false;
    position = skip_space_from(position + 3);
    if (text_.substr(position).starts_with("-%}"))
      advance_to(skip_space_from(position + 3));
    else if (text_.substr(position).starts_with("%}"))
      advance_to(position + 2);
    else
      return false;
    note_line_start();
    for (std::size_t tag = text_.find("{%", position_); tag != std::string_view::npos;
         tag = text_.find("{%", tag + 1)) {
      const char sign = sign_at(tag + 2);
      std::size_t word = skip_space_from(tag + (sign ? 3 : 2));
      if (!text_.substr(word).starts_with("endraw")) continue;
      word = skip_space_from(word + 6);
      const std::size_t mark = word + (sign_at(word) ? 1 : 0);
      if (!text_.substr(mark).starts_with("%}")) continue;
      add_data_before(tag, sign, true);
      advance_to(word);
      skip_closing("%}");
      return true;
    }
    fail("the raw block has no end: expected '{{% endraw %}}'");
  }

  /// Words up to the end of the tag, which `read_end` consumes if it is there.
  template <typename ReadEnd>
  void read_words(ReadEnd&& read_end) {
    std::string open;  // the closing brackets that are awaited
    while (true) {
      // Inside brackets "}}" closes two of them, and not the tag.
      if (open.empty() && read_end()) return;
      if (position_ == text_.size()) fail("the template ends inside a tag");
      std::size_t after = position_;
      if (utf8::is_space(utf8::next_code_point(text_, after)))
        skip_space();
      else
        read_word(open);
    }
  }

  void read_word(std::string& open) {
    const char c = text_[position_];
    if (c == '\'' || c == '"') return read_string(c);
    if (is_ascii_digit(c)) return read_number();
    if (is_word(c)) return read_name();
    read_operator(open);
  }

  void read_name() {
    std::size_t end = position_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    const std::string_view name = text_.substr(position_, end - position_);
    if (!utf8::is_identifier(name)) fail("'{}' is not a valid name", name);
    add(TokenType::name, std::string(name));
    advance_to(end);
  }

  /// Digits with single underscores between them.
  std::size_t digits_end(std::size_t position) const {
    const auto digit = [&](std::size_t i) { return i < text_.size() && is_ascii_digit(text_[i]); };
    while (digit(position) || (position < text_.size() && text_[position] == '_' &&
                               digit(position - 1) && digit(position + 1)))
      ++position;
    return position;
  }

  void read_number() {
    std::size_t end = digits_end(position_);
    bool is_real = false;
    // In x.1.2 the numbers are two indices.
    const bool after_dot = !tokens_.empty() && tokens_.back().type == TokenType::op &&
                           tokens_.back().text == "." && text_[position_ - 1] == '.';
    if (!after_dot) {
      if (end + 1 < text_.size() && text_[end] == '.' && is_ascii_digit(text_[end + 1])) {
        end = digits_end(end + 1);
        is_real = true;
      }
      std::size_t exponent = end + 1;
      if (exponent < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
        if (text_[exponent] == '+' || text_[exponent] == '-') ++exponent;
        if (exponent < text_.size() && is_ascii_digit(text_[exponent])) {
          end = digits_end(exponent);
          is_real = true;
        }
      }
    }
    if (!is_real && end == position_ + 1 && text_[position_] == '0') {
      // 0x1F, 0o17, 0b101
      while (end < text_.size() && is_word(text_[end])) ++end;
    }
    const std::string_view number = text_.substr(position_, end - position_);
    Token token{is_real ? TokenType::real : TokenType::integer, line_, std::string(number)};
    if (is_real) {
      const auto value = parse_real(number);
      if (!value) fail("'{}' is not a number", number);
      token.real = *value;
    } else {
      const auto value = parse_integer(number, 0);
      if (!value) fail("'{}' is not an integer of at most 63 bits", number);
      token.integer = *value;
    }
    tokens_.push_back(std::move(token));
    advance_to(end);
  }

  void read_operator(std::string& open) {
    static constexpr std::array<std::string_view, 27> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]",
        "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";", "!"};
    const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                    [&](std::string_view candidate) { return at(candidate); });
    if (found == kOperators.end() || *found == "!") {
      std::size_t end = position_;
      utf8::next_code_point(text_, end);
      fail("unexpected character '{}'", text_.substr(position_, end - position_));
    }
    if (*found == "(" || *found == "[" || *found == "{") {
      open += *found == "(" ? ')' : *found == "[" ? ']' : '}';
    } else if (*found == ")" || *found == "]" || *found == "}") {
      if (open.empty()) fail("unexpected '{}'", *found);
      if (open.back() != (*found)[0]) fail("unexpected '{}', expected '{}'", *found, open.back());
      open.pop_back();
    }
    add(TokenType::op, std::string(*found));
    advance(found->size());
  }

  void read_string(char quote) {
    std::size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("the string that begins here has no end");
    add(TokenType::string, unescaped(text_.substr(position_ + 1, end - position_ - 1)));
    advance_to(end + 1);
  }

  std::string unescaped(std::string_view text) const {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\')
        out += text[i];
      else
        i = unescape(text, i + 1, out);
    }
    return out;
  }

  /// Appends what the escape sequence after the backslash means; returns its last position.
  std::size_t unescape(std::string_view text, std::size_t i, std::string& out) const {
    constexpr std::string_view kLetters = "abfnrtv\\'\"";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char c = text[i];
    const std::size_t known = kLetters.find(c);
    if (known != std::string_view::npos) {
      out += kMeanings[known];
    } else if (c == '\n') {
      // A backslash at the end of a line joins it with the next.
    } else if (c >= '0' && c <= '7') {
      std::size_t size = 1;
      while (size < 3 && i + size < text.size() && text[i + size] >= '0' && text[i + size] <= '7')
        ++size;
      utf8::append_utf8(out, char32_t(*parse_integer(text.substr(i, size), 8)));
      return i + size - 1;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const std::string_view digits = text.substr(i + 1, size);
      const bool hexadecimal = digits.size() == size &&
                               digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos;
      const std::int64_t code_point = hexadecimal ? *parse_integer(digits, 16) : -1;
      if (code_point < 0 || code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000))
        fail("'\\{}{}' in a string is not a character", c, digits);
      utf8::append_utf8(out, char32_t(code_point));
      return i + size;
    } else if (c == 'N') {
      fail("'\\N' in a string is not supported; write the character itself");
    } else {
      out += '\\';
      out += c;  // the first byte of a character, if it has more
    }
    return i;
  }

  const std::string source_;
  const std::string_view text_;
  const std::string_view name_;
  std::size_t position_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, std::string_view template_name) {
  return Lexer(source, template_name).run();
}

}  // namespace isotope::text::jinja
