#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"
#include "text/json_pattern.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

constexpr utf8proc_ssize_t kMaxDecomposition =
    18;  // U+FDFA under NFKD; Unicode promises no longer ones

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return std::uint8_t(c) < 0x80; });
}

bool composes(UnicodeForm form) { return form == UnicodeForm::nfc || form == UnicodeForm::nfkc; }
bool is_compatibility(UnicodeForm form) {
  return form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
}

int combining_class(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

/// Sorts each run of combining marks by class, keeping the order of equal classes (UAX #15, D109).
void order_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
  auto begin = code_points.begin();
  while (true) {
    begin = std::find_if(begin, code_points.end(), is_mark);
    if (begin == code_points.end()) return;
    const auto end = std::find_if_not(begin, code_points.end(), is_mark);
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    begin = end;
  }
}

std::vector<utf8proc_int32_t> decompose(std::string_view text, utf8proc_option_t options) {
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = 0;
    const auto code_point = utf8proc_int32_t(first_code_point(text, length));
    text.remove_prefix(length);
    utf8proc_int32_t parts[kMaxDecomposition];
    int boundary_state = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(code_point, parts, kMaxDecomposition, options, &boundary_state);
    ISOTOPE_ASSERT(count >= 0 && count <= kMaxDecomposition);
    code_points.insert(code_points.end(), parts, parts + count);
  }
  return code_points;
}

class UnicodeStep final : public NormalizerStep {
 public:
  explicit UnicodeStep(UnicodeForm form) : form_(form) {}
  std::string apply(std::string text) const override { return normalize_unicode(text, form_); }

 private:
  UnicodeForm form_;
};

class PrependStep final : public NormalizerStep {
 public:
  explicit PrependStep(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string text) const override {
    return text.empty() ? text : prefix_ + text;
  }

 private:
  std::string prefix_;
};

class ReplaceStep final : public NormalizerStep {
 public:
  ReplaceStep(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string text) const override {
    std::string result;
    std::size_t done = 0;
    for (const Span match : pattern_.find_all(text)) {
      result.append(text, done, match.begin - done).append(content_);
      done = match.end;
    }
    return result.append(text, done);
  }

 private:
  Regex pattern_;
  std::string content_;
};

}  // namespace

std::string normalize_unicode(std::string_view text, UnicodeForm form) {
  if (is_ascii(text)) return std::string(text);
  int options = UTF8PROC_STABLE | (composes(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (is_compatibility(form)) options |= UTF8PROC_COMPAT;
  std::vector<utf8proc_int32_t> code_points = decompose(text, utf8proc_option_t(options));
  order_marks(code_points);
  utf8proc_ssize_t count = utf8proc_ssize_t(code_points.size());
  if (composes(form))
    count = utf8proc_normalize_utf32(code_points.data(), count, utf8proc_option_t(options));
  ISOTOPE_ASSERT(count >= 0);
  std::string result;
  result.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    append_utf8(char32_t(code_points[std::size_t(i)]), result);
  return result;
}

Normalizer Normalizer::from_json(const json::value& value, const std::string& what) {
  Normalizer normalizer;
  if (!value.is_null()) normalizer.add(value, what);
  return normalizer;
}

void Normalizer::add(const json::value& value, const std::string& what) {
  const JsonFields fields(value, what);
  const std::string type = fields.string("type");
  if (type == "Sequence") {
    for (const json::value& step : json_array(fields, "normalizers")) add(step, what);
  } else if (type == "NFC") {
    steps_.push_back(std::make_unique<UnicodeStep>(UnicodeForm::nfc));
  } else if (type == "NFD") {
    steps_.push_back(std::make_unique<UnicodeStep>(UnicodeForm::nfd));
  } else if (type == "NFKC") {
    steps_.push_back(std::make_unique<UnicodeStep>(UnicodeForm::nfkc));
  } else if (type == "NFKD") {
    steps_.push_back(std::make_unique<UnicodeStep>(UnicodeForm::nfkd));
  } else if (type == "Prepend") {
    steps_.push_back(std::make_unique<PrependStep>(fields.string("prepend")));
  } else if (type == "Replace") {
    steps_.push_back(std::make_unique<ReplaceStep>(json_pattern(fields), fields.string("content")));
  } else {
    fail(ErrorCode::unsupported,
         "{}: the normalizer type '{}' is not supported; known are Sequence, NFC, NFD, NFKC, NFKD, "
         "Prepend and Replace",
         what, type);
  }
}

std::string Normalizer::apply(std::string text) const {
  for (const auto& step : steps_) text = step->apply(std::move(text));
  return text;
}

}  // namespace isotope::text
