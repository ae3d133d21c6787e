#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace isotope::text {
namespace {

/// A pattern that backtracks without end on some text is stopped here: an ordinary match takes
/// tens.
constexpr std::uint32_t kMatchLimit = 50'000'000;
/// The JIT's own stack, which starts small and grows on demand.
constexpr std::size_t kJitStackStart = 32 << 10;
constexpr std::size_t kJitStackMax = 8 << 20;

std::string pcre2_message(int code) {
  PCRE2_UCHAR8 buffer[256];
  pcre2_get_error_message_8(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

/// What a match needs besides the pattern; one a thread, so that matching shares nothing.
struct MatchResources {
  pcre2_match_context_8* context = pcre2_match_context_create_8(nullptr);
  pcre2_jit_stack_8* stack = pcre2_jit_stack_create_8(kJitStackStart, kJitStackMax, nullptr);
  // One pair of offsets: tokenizers need no groups.
  pcre2_match_data_8* data = pcre2_match_data_create_8(1, nullptr);

  MatchResources() {
    if (!context || !stack || !data)
      fail(ErrorCode::out_of_memory, "no memory to match a regular expression");
    pcre2_set_match_limit_8(context, kMatchLimit);
    pcre2_jit_stack_assign_8(context, nullptr, stack);
  }
  ~MatchResources() {
    pcre2_match_data_free_8(data);
    pcre2_jit_stack_free_8(stack);
    pcre2_match_context_free_8(context);
  }
  MatchResources(const MatchResources&) = delete;
  MatchResources& operator=(const MatchResources&) = delete;
};

/// Rewrites what PCRE2 understands differently from Oniguruma: \s (PCRE2 counts U+180E as a space)
/// and \w (PCRE2 leaves out combining marks). Refuses what has another meaning and no simple
/// equivalent.
class PatternTranslator {
 public:
  PatternTranslator(std::string_view pattern, const std::string& what)
      : pattern_(pattern), what_(what) {}

  std::string translate() {
    for (; i_ < pattern_.size(); ++i_) {
      const char c = pattern_[i_];
      if (c == '\\' && i_ + 1 < pattern_.size()) {
        escape(pattern_[++i_]);
      } else if (in_class_) {
        inside_class(c);
      } else {
        if (c == '[')
          open_class();
        else
          out_ += c;
        if (c == '(') check_options();
      }
    }
    return std::move(out_);
  }

 private:
  static constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

  void escape(char c) {
    switch (c) {
      case 's':
        out_ += R"(\p{White_Space})";
        return;
      case 'S':
        out_ += R"(\P{White_Space})";
        return;
      case 'w':
        out_ += in_class_ ? std::string(kWord) : fmt::format("[{}]", kWord);
        return;
      case 'W':
        if (in_class_) refuse(R"(\W inside [ ])");
        out_ += fmt::format("[^{}]", kWord);
        return;
      case 'h':
      case 'H':
      case 'K':
      case 'Q':
      case 'R':
      case 'X':
        refuse(std::string("\\") + c);
      default:
        out_ += '\\';
        out_ += c;
    }
  }

  void open_class() {
    in_class_ = true;
    out_ += '[';
    if (i_ + 1 < pattern_.size() && pattern_[i_ + 1] == '^') out_ += pattern_[++i_];
    // "]" in first place is a character of the class.
    if (i_ + 1 < pattern_.size() && pattern_[i_ + 1] == ']') out_ += pattern_[++i_];
  }

  void inside_class(char c) {
    const std::string_view rest = pattern_.substr(i_);
    if (rest.starts_with("&&")) refuse("&& (intersection) inside [ ]");
    if (c == '[') refuse("[ inside [ ]");
    if (c == ']') in_class_ = false;
    out_ += c;
  }

  /// "(?m" lets a dot match line ends in Oniguruma, and moves ^ and $ in PCRE2.
  void check_options() {
    const std::string_view rest = pattern_.substr(i_);
    if (!rest.starts_with("(?")) return;
    const std::string_view options = rest.substr(2, rest.find_first_of(":)", 2) - 2);
    if (options.find_first_not_of("imsx-") == std::string_view::npos &&
        options.find('m') != std::string_view::npos)
      refuse("(?m)");
  }

  [[noreturn]] void refuse(std::string_view construct) const {
    fail(ErrorCode::unsupported, "{}: the pattern uses {}, which is not supported: {}", what_,
         construct, pattern_);
  }

  std::string_view pattern_;
  const std::string& what_;
  std::size_t i_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code_8, decltype(&pcre2_code_free_8)> compiled{nullptr, pcre2_code_free_8};
  std::string what;
};

Regex::Regex(std::string_view pattern, std::string what) {
  const std::string translated = PatternTranslator(pattern, what).translate();
  int error = 0;
  std::size_t position = 0;
  // Oniguruma's Ruby syntax, which tokenizer files are written in, lets ^ and $ match at every
  // line.
  auto code = std::make_unique<Code>();
  code->compiled.reset(
      pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                      &position, nullptr));
  if (!code->compiled)
    fail(ErrorCode::corrupt_data, "{}: not a valid regular expression ({} at {}): {}", what,
         pcre2_message(error), position, pattern);
  // Where the JIT is missing, matching falls back to the interpreter: slower, and the same.
  pcre2_jit_compile_8(code->compiled.get(), PCRE2_JIT_COMPLETE);
  code->what = std::move(what);
  code_ = std::move(code);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<Span> Regex::find_all(std::string_view text) const {
  thread_local MatchResources resources;
  std::vector<Span> matches;
  std::size_t position = 0;
  std::uint32_t options = PCRE2_NO_UTF_CHECK;
  while (position <= text.size()) {
    const int result =
        pcre2_match_8(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()),
                      text.size(), position, options, resources.data, resources.context);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0)
      fail(ErrorCode::invalid_argument,
           "{}: the regular expression gives up on this text of {} bytes ({}); shorten the text",
           code_->what, text.size(), pcre2_message(result));
    const std::size_t* offsets = pcre2_get_ovector_pointer_8(resources.data);
    matches.push_back({std::uint32_t(offsets[0]), std::uint32_t(offsets[1])});
    // After an empty match the next one must not be empty at the same place.
    options = PCRE2_NO_UTF_CHECK | (matches.back().empty() ? PCRE2_NOTEMPTY_ATSTART : 0);
    position = offsets[1];
  }
  return matches;
}

std::string escape_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(R"(\^$.|?*+()[]{}-#)").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace isotope::text
