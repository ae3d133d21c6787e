// Grammars against the verdicts of others (grammar-vectors.json), and masks against matching token
// by token.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/grammar/compiled_grammar.h"
#include "text/grammar/ebnf_grammar.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/regex_grammar.h"
#include "text/grammar/token_trie.h"

namespace isotope::text {
namespace {

/// Every byte, and some longer tokens: those of JSON, parts of characters, one within another.
struct TestVocabulary {
  std::vector<std::string> tokens;
  std::shared_ptr<const TokenTrie> trie;

  TestVocabulary() {
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, char(byte)));
    for (const char* text :
         {"{\"",   "\":",  "\": \"", "\", \"", "\"}",       "}}",       "]}",  "[[",
          ", ",    "true", "null",   "  ",     "\n  ",      "12",       "123", "0.5",
          "ab",    "abc",  "\xC3",   "\xA9",   "\xC3\xA9x", "\xF0\x9F", "a\"", "\"a\"",
          "\\u00", "\\\"", "e\": 1", "}, {",   "-1",        "<call>"})
      tokens.emplace_back(text);
    const std::vector<std::string_view> views(tokens.begin(), tokens.end());
    trie = std::make_shared<const TokenTrie>(views);
  }
  TokenId id_of(std::string_view text) const {
    return TokenId(std::find(tokens.rbegin(), tokens.rend(), text).base() - tokens.begin()) - 1;
  }
  std::size_t words() const { return (tokens.size() + 31) / 32; }
};

const TestVocabulary& vocabulary() {
  static const TestVocabulary all;
  return all;
}

using MakeRoot = std::function<GrammarExpr(GrammarBuilder&)>;

std::shared_ptr<const CompiledGrammar> compiled(const MakeRoot& make) {
  GrammarBuilder builder;
  const GrammarExpr root = make(builder);
  return compile_grammar(builder.finish(root), vocabulary().trie);
}
std::shared_ptr<const CompiledGrammar> schema(const json::value& value) {
  return compiled([&](GrammarBuilder& builder) { return json_schema(builder, value); });
}
std::shared_ptr<const CompiledGrammar> pattern(std::string_view text) {
  return compiled(
      [&](GrammarBuilder& builder) { return regex_grammar(builder, text, RegexMatch::whole); });
}
std::shared_ptr<const CompiledGrammar> ebnf(std::string_view text) {
  return compiled([&](GrammarBuilder& builder) { return ebnf_grammar(builder, text); });
}

bool accepts(const std::shared_ptr<const CompiledGrammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar, {});
  return matcher.accept_bytes(text) && matcher.complete();
}

const json::object& vectors() {
  static const json::value file =
      parse_json_file(ISOTOPE_TEST_DATA "/structured/grammar-vectors.json");
  return file.as_object();
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Grammar, AcceptsWhatJsonschemaAcceptsAndRejectsWhatItRejects) {
  for (const json::value& entry : vectors().at("schemas").as_array()) {
    const JsonFields fields(entry, "a vector");
    const auto grammar = schema(*fields.find("schema"));
    for (const json::value& text : fields.find("valid")->as_array())
      EXPECT_TRUE(accepts(grammar, text.as_string())) << fields.string("name") << ": " << text;
    for (const json::value& text : fields.find("invalid")->as_array())
      EXPECT_FALSE(accepts(grammar, text.as_string())) << fields.string("name") << ": " << text;
  }
}

TEST(Grammar, MatchesWhatPythonMatches) {
  for (const json::value& entry : vectors().at("patterns").as_array()) {
    const JsonFields fields(entry, "a vector");
    const auto grammar = pattern(fields.string("pattern"));
    for (const json::value& text : fields.find("matching")->as_array())
      EXPECT_TRUE(accepts(grammar, text.as_string())) << fields.string("pattern") << " " << text;
    for (const json::value& text : fields.find("others")->as_array())
      EXPECT_FALSE(accepts(grammar, text.as_string())) << fields.string("pattern") << " " << text;
  }
}

/// Takes random allowed tokens; before each, every bit of the mask is compared with what accepting
/// that token says.
void expect_exact_masks(const std::shared_ptr<const CompiledGrammar>& grammar, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> taken;
  GrammarMatcher matcher(grammar, {});
  for (int step = 0; step < 25 && !matcher.finished(); ++step) {
    std::vector<std::uint32_t> mask(vocabulary().words());
    matcher.fill_mask(mask, 100000);
    std::vector<TokenId> allowed;
    for (TokenId id = 0; id < TokenId(vocabulary().tokens.size()); ++id) {
      const bool set = mask[std::size_t(id) / 32] >> (id % 32) & 1;
      GrammarMatcher other(grammar, {});
      for (const TokenId before : taken) ASSERT_TRUE(other.accept(before));
      ASSERT_EQ(other.accept(id), set) << "token " << vocabulary().tokens[std::size_t(id)];
      // Long tokens cross the ends of rules, so they are taken more often.
      if (set) allowed.insert(allowed.end(), id < 256 ? 1 : 20, id);
    }
    ASSERT_FALSE(allowed.empty());
    taken.push_back(allowed[random() % allowed.size()]);
    ASSERT_TRUE(matcher.accept(taken.back()));
  }
}

TEST(Grammar, MasksHoldExactlyTheTokensThatMayCome) {
  expect_exact_masks(compiled([](GrammarBuilder& b) { return any_json(b); }), 1);
  expect_exact_masks(pattern("(ab|a|abc)*(12|123)?x{40,90}"), 2);
  expect_exact_masks(ebnf("root ::= \"[\" (root (\", \" root)*)? \"]\" | [a-z]{1,200}"), 3);
  unsigned seed = 4;
  for (const json::value& entry : vectors().at("schemas").as_array())
    if (++seed % 16 == 0) expect_exact_masks(schema(entry.at("schema")), seed);
}

TEST(Grammar, EndsWithinItsTokens) {
  // A string without a bound, members that are required after it, nesting without end.
  const auto grammar = schema(parse_json(
      R"({"type": "object", "properties": {"s": {"type": "string"}, "a": {"type": "array"},
          "e": {"enum": ["red", "blue"]}}, "required": ["s", "a", "e"]})",
      "schema"));
  const auto shortest = std::int64_t(std::string_view(R"({"s":"","a":[],"e":"red"})").size());
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    GrammarMatcher matcher(grammar, {});
    std::string text;
    for (std::int64_t left = shortest + seed % 20; left > 0 && !matcher.finished(); --left) {
      std::vector<std::uint32_t> mask(vocabulary().words());
      matcher.fill_mask(mask, left);
      std::vector<TokenId> allowed;
      for (TokenId id = 0; id < TokenId(vocabulary().tokens.size()); ++id)
        if (mask[std::size_t(id) / 32] >> (id % 32) & 1) allowed.push_back(id);
      ASSERT_FALSE(allowed.empty()) << text;
      const TokenId id = allowed[random() % allowed.size()];
      text += vocabulary().tokens[std::size_t(id)];
      ASSERT_TRUE(matcher.accept(id));
    }
    EXPECT_TRUE(matcher.finished()) << text;
  }
}

TEST(Grammar, EndIsAllowedWhenTheTextIsComplete) {
  const TokenId end = vocabulary().id_of("null");
  GrammarMatcher matcher(pattern("1+2?"), {end});
  const auto allows_end = [&] {
    std::vector<std::uint32_t> mask(vocabulary().words());
    matcher.fill_mask(mask, 100);
    return bool(mask[std::size_t(end) / 32] >> (end % 32) & 1);
  };
  EXPECT_FALSE(allows_end());
  EXPECT_FALSE(matcher.accept(end));
  EXPECT_TRUE(matcher.accept('1'));
  EXPECT_TRUE(allows_end());
  EXPECT_FALSE(matcher.finished());
  EXPECT_TRUE(matcher.accept(end));
  EXPECT_TRUE(matcher.finished());
  EXPECT_FALSE(matcher.accept('1'));
}

TEST(Grammar, EndThatIsIgnoredComesWhereNothingElseFits) {
  const TokenId end = vocabulary().id_of("null");
  const auto grammar = pattern("a(bcd)*");  // "bcd" takes three tokens
  for (const GrammarEnd rule : {GrammarEnd::if_complete, GrammarEnd::if_nothing_else_fits}) {
    GrammarMatcher matcher(grammar, {end}, rule);
    ASSERT_TRUE(matcher.accept('a'));
    for (const std::int64_t left : {100, 3, 2, 1}) {
      std::vector<std::uint32_t> mask(vocabulary().words());
      matcher.fill_mask(mask, left);
      const auto allows = [&](TokenId id) {
        return bool(mask[std::size_t(id) / 32] >> (id % 32) & 1);
      };
      EXPECT_EQ(allows('b'), left >= 3);
      EXPECT_EQ(allows(end), rule == GrammarEnd::if_complete || left < 3);
    }
    EXPECT_FALSE(matcher.finished());
    EXPECT_TRUE(matcher.accept(end));
    EXPECT_TRUE(matcher.finished());
  }
}

TEST(Grammar, MarkersAreTokensAndNeverText) {
  const TokenId call = vocabulary().id_of("<call>");
  const auto grammar = compiled([&](GrammarBuilder& b) {
    return b.sequence({b.text_until(call), b.choice({"f", "g"}), b.token(call)});
  });
  GrammarMatcher matcher(grammar, {});
  EXPECT_TRUE(matcher.accept_bytes("free text <call> spelled, not meant "));
  EXPECT_FALSE(matcher.complete());
  EXPECT_TRUE(matcher.accept(call));
  EXPECT_FALSE(matcher.accept(call));
  EXPECT_TRUE(matcher.accept('g'));
  EXPECT_TRUE(matcher.accept(call));
  EXPECT_TRUE(matcher.finished());
}

TEST(Grammar, FreeTextEndsAtTheFirstMarker) {
  const auto grammar = compiled([&](GrammarBuilder& b) {
    return b.sequence({b.text_until("aab"), b.literal("!")});
  });
  EXPECT_TRUE(accepts(grammar, "xaaaab!"));
  EXPECT_TRUE(accepts(grammar, "aab!"));
  EXPECT_FALSE(accepts(grammar, "aab aab!"));
  EXPECT_FALSE(accepts(grammar, "aaab"));
}

TEST(Grammar, ReadsEbnf) {
  const auto grammar = ebnf(R"ebnf(
    # arithmetic
    root   ::= term ("+" term)*
    term   ::= number | "(" root ")"   # a comment
    number ::= "-"? [0-9]{1,3}
      | "\x78" | [^a-z0-9()+\-\]] .
  )ebnf");
  for (const char* text : {"1", "12+(3+-4)", "x", "((7))", "\u00e9]", "!x+1"})
    EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"", "1234", "1+", "(1", "y", "a1", "]x"})
    EXPECT_FALSE(accepts(grammar, text)) << text;
}

TEST(Grammar, TakesLongRepetitions) {
  const auto grammar =
      schema(parse_json(R"({"type": "string", "minLength": 500, "maxLength": 20000})", "schema"));
  EXPECT_FALSE(accepts(grammar, '"' + std::string(499, 'x') + '"'));
  EXPECT_TRUE(accepts(grammar, '"' + std::string(20000, 'x') + '"'));
  EXPECT_FALSE(accepts(grammar, '"' + std::string(20001, 'x') + '"'));
}

TEST(Grammar, NamesWhatItRefuses) {
  const auto refusal = [](std::string_view text) {
    return error_of([&] { schema(parse_json(text, "schema")); });
  };
  const auto contains = [](const std::string& message, std::string_view part) {
    return message.find(part) != std::string::npos ? std::string(part) : message;
  };
  const struct {
    std::string_view schema, part;
  } cases[] = {
      {R"({"properties": {"a": {"not": {}}}})", "#/properties/a: the keyword not is not supported"},
      {R"({"items": {"$ref": "other.json"}})", "#/items: $ref 'other.json' is not supported"},
      {R"({"$ref": "#/$defs/x"})", "#: $ref '#/$defs/x' points to nothing"},
      {R"j({"type": "string", "pattern": "(?=a)"})j", "#/pattern: at position 2 of the pattern"},
      {R"({"oneOf": [{"type": "string"}, {"maxLength": 3}]})", "#/oneOf: options 0 and 1"},
      {R"({"type": "integer", "minimum": 2, "maximum": 1})", "no text can satisfy this"},
      {R"({"$ref": "#"})", "no text can satisfy this"},
      {R"({"type": "string", "format": "regex"})", "#: the format 'regex' is not supported"},
      {R"({"enum": ["a"], "minLength": 2})", "#: minLength together with enum"},
      {R"({"type": "objekt"})", "#: type must name"},
  };
  for (const auto& [text, part] : cases) EXPECT_EQ(contains(refusal(text), part), part);
  EXPECT_EQ(contains(error_of([] { ebnf("root ::= root \"a\" | \"b\""); }), "begins with itself"),
            "begins with itself");
  EXPECT_EQ(contains(error_of([] { ebnf("root ::= x\n"); }), "line 1, column 10"),
            "line 1, column 10");
}

TEST(Grammar, BoundsWhatOneGrammarMayCost) {
  // Deterministic, this has a state for each subset of thirty.
  const auto explosive = parse_json(
      R"j({"type": "string", "pattern": "^(a|b)*a(a|b){30}$", "maxLength": 99})j", "schema");
  EXPECT_NE(error_of([&] { schema(explosive); }).find("too complex"), std::string::npos);
  EXPECT_NE(error_of([] {
              pattern(std::string(5000, '(') + std::string(5000, ')'));
            }).find("nested too deeply"),
            std::string::npos);
}

}  // namespace
}  // namespace isotope::text
