#include "text/grammar/regex_grammar.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

constexpr std::size_t kMaxPatternBytes = 16384;
constexpr int kMaxDepth = 100;
constexpr std::int32_t kMaxRepetition = 10000;

/// A set of characters with a shorthand in it means different things to different engines beyond
/// ASCII: `in` are characters that are surely meant, `out` those that are perhaps meant.
struct CharacterClass {
  CodePoints in, out;
  bool has_shorthand = false;

  void add(char32_t first, char32_t last) {
    in.add(first, last);
    out.add(first, last);
  }
  void add(const CharacterClass& other) {
    in.add(other.in);
    out.add(other.out);
    has_shorthand |= other.has_shorthand;
  }
  CharacterClass inverted() const {
    CharacterClass result;
    result.in = out.inverted();
    result.out = in.inverted();
    result.has_shorthand = has_shorthand;
    if (has_shorthand) result.in = result.in.intersected({{0, 0x7F}});
    return result;
  }
};

/// The classes of \d, \w and \s.
std::optional<CharacterClass> shorthand(char32_t letter) {
  CharacterClass result;
  result.has_shorthand = true;
  switch (letter) {
    case 'd':
      result.add('0', '9');
      return result;
    case 'w':
      for (const CodePoints::Range range : {CodePoints::Range{'a', 'z'}, {'A', 'Z'}, {'0', '9'}})
        result.add(range.first, range.last);
      result.add('_', '_');
      return result;
    case 's':
      result.add('\t', '\r');
      result.add(' ', ' ');
      result.out.add(0x1C, 0x1F);  // Python's
      return result;
    case 'D':
    case 'W':
    case 'S':
      return shorthand(letter + ('a' - 'A'))->inverted();
    default:
      return std::nullopt;
  }
}

class RegexParser {
 public:
  RegexParser(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
              const WriteCharacter& write)
      : builder_(builder), pattern_(pattern), match_(match), write_(write) {}

  GrammarExpr parse() {
    if (pattern_.size() > kMaxPatternBytes)
      fail(ErrorCode::invalid_argument, "the pattern has {} bytes; at most {} are allowed",
           pattern_.size(), kMaxPatternBytes);
    if (replace_invalid_utf8(pattern_) != pattern_) broken("the pattern is not valid UTF-8");
    const GrammarExpr result = parse_alternatives();
    if (!at_end()) broken("a ')' without its '('");
    return result;
  }

 private:
  [[noreturn]] void broken(std::string_view why) const {
    fail(ErrorCode::invalid_argument, "at position {} of the pattern '{}': {}", position_,
         shown_pattern(), why);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::unsupported, "at position {} of the pattern '{}': {} is not supported",
         position_, shown_pattern(), what);
  }
  std::string shown_pattern() const {
    return pattern_.size() <= 100 ? std::string(pattern_)
                                  : replace_invalid_utf8(pattern_.substr(0, 100)) + "…";
  }

  bool at_end() const { return position_ == pattern_.size(); }
  bool looking_at(std::string_view text) const {
    return pattern_.substr(position_).starts_with(text);
  }
  bool take(std::string_view text) {
    if (!looking_at(text)) return false;
    position_ += text.size();
    return true;
  }
  char32_t take_character() {
    if (at_end()) broken("the pattern ends too early");
    std::size_t length;
    const char32_t c = first_code_point(pattern_.substr(position_), length);
    position_ += length;
    return c;
  }

  GrammarExpr write(const CodePoints& set) {
    return write_ ? write_(builder_, set) : builder_.character(set);
  }

  GrammarExpr parse_alternatives() {
    if (++depth_ > kMaxDepth) broken("groups are nested too deeply");
    std::vector<GrammarExpr> branches = {parse_branch()};
    while (take("|")) branches.push_back(parse_branch());
    --depth_;
    return builder_.alternatives(std::move(branches));
  }

  /// Anchors count at both ends of the pattern's outermost branches, where they say what else the
  /// text may hold.
  GrammarExpr parse_branch() {
    const bool outermost = depth_ == 1;
    std::vector<GrammarExpr> parts;
    const bool from_start = outermost && take("^");
    bool to_end = false;
    while (!at_end() && !looking_at("|") && !looking_at(")")) {
      if (to_end) refuse("'$' before the end");
      if (outermost && take("$"))
        to_end = true;
      else
        parts.push_back(parse_quantified());
    }
    if (match_ == RegexMatch::anywhere && outermost) {
      const GrammarExpr any = builder_.repeat(write(CodePoints::all()), 0);
      if (!from_start) parts.insert(parts.begin(), any);
      if (!to_end) parts.push_back(any);
    }
    return builder_.sequence(std::move(parts));
  }

  GrammarExpr parse_quantified() {
    const GrammarExpr atom = parse_atom();
    std::int32_t min = 0, max = kUnbounded;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (!parse_bounds(min, max)) {
      return atom;
    }
    take("?");  // lazy: the same texts
    if (looking_at("+")) refuse("a possessive quantifier");
    if (looking_at("*") || looking_at("?")) broken("nothing to repeat");
    return builder_.repeat(atom, min, max);
  }

  std::optional<std::int32_t> take_number() {
    std::int64_t number = 0;
    const std::size_t begin = position_;
    for (; !at_end() && pattern_[position_] >= '0' && pattern_[position_] <= '9'; ++position_)
      number = std::min<std::int64_t>(10 * number + (pattern_[position_] - '0'), kUnbounded);
    if (position_ == begin) return std::nullopt;
    if (number > kMaxRepetition)
      broken(fmt::format("a repetition of more than {} is not supported", kMaxRepetition));
    return std::int32_t(number);
  }

  /// {n}, {n,}, {n,m}, {,m}; any other brace is a character.
  bool parse_bounds(std::int32_t& min, std::int32_t& max) {
    const std::size_t begin = position_;
    if (!take("{")) return false;
    const auto low = take_number();
    bool valid = low.has_value();
    min = low.value_or(0);
    max = min;
    if (take(",")) {
      const auto high = take_number();
      valid |= high.has_value();
      max = high.value_or(kUnbounded);
    }
    if (!valid || !take("}")) {
      position_ = begin;
      return false;
    }
    if (max < min) broken("the bounds of a repetition are in the wrong order");
    return true;
  }

  GrammarExpr parse_atom() {
    if (take("(")) return parse_group();
    if (take("[")) return write(parse_class().in);
    if (take("."))
      return write(CodePoints({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).inverted());
    if (looking_at("^") || looking_at("$")) refuse("an anchor inside the pattern");
    if (looking_at("*") || looking_at("+") || looking_at("?")) broken("nothing to repeat");
    if (take("\\")) return write(parse_escape(false).in);
    const char32_t c = take_character();
    return write({{c, c}});
  }

  GrammarExpr parse_group() {
    if (take("?")) {
      if (take("P<") || (looking_at("<") && !looking_at("<=") && !looking_at("<!") && take("<"))) {
        while (!take(">")) take_character();
      } else if (!take(":")) {
        refuse(looking_at("=") || looking_at("!") || looking_at("<") ? "look-around"
                                                                     : "this kind of group");
      }
    }
    const GrammarExpr inner = parse_alternatives();
    if (!take(")")) broken("a '(' without its ')'");
    return inner;
  }

  char32_t take_hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = take_character();
      const char32_t lower = c | 0x20;
      if (c >= '0' && c <= '9')
        value = 16 * value + (c - '0');
      else if (lower >= 'a' && lower <= 'f')
        value = 16 * value + (lower - 'a' + 10);
      else
        broken("a hexadecimal digit is expected");
    }
    return value;
  }

  /// What follows a backslash.
  CharacterClass parse_escape(bool in_class) {
    const char32_t c = take_character();
    if (auto set = shorthand(c)) return *set;
    char32_t value = c;
    switch (c) {
      case 'n':
        value = '\n';
        break;
      case 't':
        value = '\t';
        break;
      case 'r':
        value = '\r';
        break;
      case 'f':
        value = '\f';
        break;
      case 'v':
        value = '\v';
        break;
      case '0':
        value = 0;
        break;
      case 'x':
        value = take_hex(2);
        break;
      case 'u':
        value = take_hex(4);
        break;
      case 'b':
        if (!in_class) refuse("'\\b'");
        value = '\b';
        break;
      default:
        if ((c >= '1' && c <= '9') || c == 'k') refuse("a back reference");
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
          refuse(fmt::format("the escape '\\{}'", char(c)));
    }
    if (value >= 0xD800 && value <= 0xDFFF) refuse("half of a surrogate pair");
    CharacterClass set;
    set.add(value, value);
    return set;
  }

  static std::optional<char32_t> single(const CharacterClass& set) {
    const auto& ranges = set.in.ranges();
    if (set.has_shorthand || ranges.size() != 1 || ranges[0].first != ranges[0].last)
      return std::nullopt;
    return ranges[0].first;
  }

  CharacterClass parse_class_item() {
    if (take("\\")) return parse_escape(true);
    if (looking_at("[:")) refuse("a POSIX class");
    const char32_t c = take_character();
    CharacterClass set;
    set.add(c, c);
    return set;
  }

  CharacterClass parse_class() {
    const bool inverted = take("^");
    if (looking_at("]")) refuse("an empty class");
    CharacterClass set;
    while (!take("]")) {
      const CharacterClass item = parse_class_item();
      const std::optional<char32_t> first = single(item);
      if (!looking_at("-") || looking_at("-]") || !first) {
        set.add(item);
        continue;
      }
      take("-");
      const std::optional<char32_t> last = single(parse_class_item());
      if (!last || *last < *first) broken("the bounds of a range are in the wrong order");
      set.add(*first, *last);
    }
    return inverted ? set.inverted() : set;
  }

  GrammarBuilder& builder_;
  std::string_view pattern_;
  RegexMatch match_;
  const WriteCharacter& write_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace

GrammarExpr regex_grammar(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
                          const WriteCharacter& write) {
  return RegexParser(builder, pattern, match, write).parse();
}

}  // namespace isotope::text
