#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/json_pattern.h"

namespace isotope::text {
namespace {

/// GPT-2's pattern, which a ByteLevel step with "use_regex" splits by.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kPunctuation = R"([\p{P}\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E])";

/// What becomes of a delimiter: of a match, or under "invert" of what lies between matches.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct Part {
  Span span;
  bool is_delimiter;
};

/// Matches and what lies between them, alternately, without gaps.
std::vector<Part> cut_at_matches(const std::vector<Span>& matches, std::uint32_t end, bool invert) {
  std::vector<Part> parts;
  std::uint32_t done = 0;
  for (const Span match : matches) {
    if (done < match.begin) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done < end) parts.push_back({{done, end}, invert});
  return parts;
}

/// Whether `next` belongs to the same piece as the part before it.
bool joins(Behavior behavior, const Part& previous, const Part& next) {
  switch (behavior) {
    case Behavior::contiguous:
      return previous.is_delimiter == next.is_delimiter;
    case Behavior::merged_with_previous:
      return next.is_delimiter && !previous.is_delimiter;
    case Behavior::merged_with_next:
      return previous.is_delimiter && !next.is_delimiter;
    case Behavior::removed:
    case Behavior::isolated:
      return false;
  }
  return false;
}

class SplitStep final : public PreTokenizerStep {
 public:
  SplitStep(Regex regex, Behavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces) const override {
    std::vector<Span> result;
    for (const Span piece : pieces.spans) {
      const std::vector<Part> parts = cut_at_matches(regex_.find_all(view_of(piece, pieces.text)),
                                                     piece.end - piece.begin, invert_);
      const Part* previous = nullptr;
      for (const Part& part : parts) {
        const Span span{piece.begin + part.span.begin, piece.begin + part.span.end};
        if (previous && joins(behavior_, *previous, part)) {
          result.back().end = span.end;
        } else if (!(behavior_ == Behavior::removed && part.is_delimiter)) {
          result.push_back(span);
        }
        previous = &part;
      }
    }
    std::erase_if(result, [](Span span) { return span.empty(); });
    pieces.spans = std::move(result);
  }

 private:
  Regex regex_;
  Behavior behavior_;
  bool invert_;
};

/// Puts `prefix` before pieces that do not begin with it.
class PrefixStep final : public PreTokenizerStep {
 public:
  PrefixStep(std::string prefix, bool only_input_start)
      : prefix_(std::move(prefix)), only_input_start_(only_input_start) {}

  void apply(Pieces& pieces) const override {
    std::string text;
    text.reserve(pieces.text.size() + pieces.spans.size() * prefix_.size());
    for (Span& span : pieces.spans) {
      const std::string_view piece = view_of(span, pieces.text);
      const bool applies = !only_input_start_ || (pieces.at_input_start && span.begin == 0);
      const std::size_t begin = text.size();
      if (applies && !piece.starts_with(prefix_)) text += prefix_;
      text += piece;
      span = {std::uint32_t(begin), std::uint32_t(text.size())};
    }
    pieces.text = std::move(text);
  }

 private:
  std::string prefix_;
  bool only_input_start_;
};

/// Writes `replacement` for every space: the first half of SentencePiece's Metaspace.
class SpaceStep final : public PreTokenizerStep {
 public:
  explicit SpaceStep(std::string replacement) : replacement_(std::move(replacement)) {}

  void apply(Pieces& pieces) const override {
    std::string text;
    text.reserve(pieces.text.size() * 2);
    for (Span& span : pieces.spans) {
      const std::size_t begin = text.size();
      for (const char c : view_of(span, pieces.text)) {
        if (c == ' ')
          text += replacement_;
        else
          text += c;
      }
      span = {std::uint32_t(begin), std::uint32_t(text.size())};
    }
    pieces.text = std::move(text);
  }

 private:
  std::string replacement_;
};

Behavior behavior_of(const JsonFields& fields) {
  const std::string name = fields.string("behavior");
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  fields.wrong("behavior", *fields.find("behavior"),
               "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

using Steps = std::vector<std::unique_ptr<const PreTokenizerStep>>;

void add_split(Steps& steps, std::string_view pattern, Behavior behavior, const std::string& what) {
  steps.push_back(std::make_unique<SplitStep>(Regex(pattern, what), behavior, false));
}

/// "prepend_scheme", or the older "add_prefix_space".
std::string prepend_scheme(const JsonFields& fields) {
  if (!fields.has("prepend_scheme"))
    return fields.boolean("add_prefix_space", true) ? "always" : "never";
  const std::string scheme = fields.string("prepend_scheme");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    fields.wrong("prepend_scheme", *fields.find("prepend_scheme"), "always, first or never");
  return scheme;
}

void add_metaspace(Steps& steps, const JsonFields& fields) {
  const std::string replacement = fields.string("replacement", "▁");
  if (replacement.empty())
    fields.wrong("replacement", *fields.find("replacement"), "one character");
  steps.push_back(std::make_unique<SpaceStep>(replacement));
  const std::string scheme = prepend_scheme(fields);
  if (scheme != "never")
    steps.push_back(std::make_unique<PrefixStep>(replacement, scheme == "first"));
  if (fields.boolean("split", true))
    add_split(steps, escape_regex(replacement), Behavior::merged_with_next, fields.name());
}

}  // namespace

PreTokenizer PreTokenizer::from_json(const json::value& value, const std::string& what) {
  PreTokenizer result;
  if (!value.is_null()) result.add(value, what);
  return result;
}

PreTokenizer PreTokenizer::from_pattern(std::string_view pattern, const std::string& what) {
  PreTokenizer result;
  add_split(result.steps_, pattern, Behavior::isolated, what);
  return result;
}

void PreTokenizer::add(const json::value& value, const std::string& what) {
  const JsonFields fields(value, what);
  const std::string type = fields.string("type");
  // Later steps would see the byte alphabet instead of the text.
  if (byte_level_)
    fail(ErrorCode::unsupported, "{}: '{}' after ByteLevel is not supported", what, type);
  if (type == "Sequence") {
    for (const json::value& step : json_array(fields, "pretokenizers")) add(step, what);
  } else if (type == "Split") {
    steps_.push_back(std::make_unique<SplitStep>(json_pattern(fields), behavior_of(fields),
                                                 fields.boolean("invert", false)));
  } else if (type == "ByteLevel") {
    if (fields.boolean("add_prefix_space", true))
      steps_.push_back(std::make_unique<PrefixStep>(" ", false));
    if (fields.boolean("use_regex", true))
      add_split(steps_, kGpt2Pattern, Behavior::isolated, what);
    byte_level_ = true;
  } else if (type == "Digits") {
    const bool individual = fields.boolean("individual_digits", false);
    add_split(steps_, individual ? R"(\p{N})" : R"(\p{N}+)", Behavior::isolated, what);
  } else if (type == "Punctuation") {
    const Behavior behavior = fields.has("behavior") ? behavior_of(fields) : Behavior::isolated;
    add_split(steps_, kPunctuation, behavior, what);
  } else if (type == "Metaspace") {
    add_metaspace(steps_, fields);
  } else {
    fail(ErrorCode::unsupported,
         "{}: the pre-tokenizer type '{}' is not supported; known are Sequence, Split, ByteLevel, "
         "Digits, Punctuation and Metaspace",
         what, type);
  }
}

Pieces PreTokenizer::split(std::string text, bool at_input_start) const {
  Pieces pieces{std::move(text), {}, at_input_start};
  if (!pieces.text.empty()) pieces.spans.push_back({0, std::uint32_t(pieces.text.size())});
  for (const auto& step : steps_) step->apply(pieces);
  return pieces;
}

}  // namespace isotope::text
