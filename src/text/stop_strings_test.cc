#include "text/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"

namespace isotope::text {
namespace {

struct Result {
  std::string text;
  std::string stop;  ///< empty: none
  bool operator==(const Result&) const = default;
};

void PrintTo(const Result& result, std::ostream* out) {
  *out << result.text << " | " << result.stop;
}

Result run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
           bool include_stop_text = false) {
  StopStrings cutter(stops, include_stop_text);
  Result result;
  for (const std::string& piece : pieces) result.text += cutter.push(piece);
  if (cutter.matched()) {
    result.stop = *cutter.matched();
    EXPECT_EQ(cutter.finish(), "");
  } else {
    result.text += cutter.finish();
  }
  return result;
}

/// The definition, spelled out: the earliest end of any stop, and the longest stop that ends there.
Result expected(const std::vector<std::string>& stops, const std::string& text, bool include) {
  for (std::size_t end = 0; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop) && stop.size() > longest.size()) longest = stop;
    }
    if (!longest.empty()) return {text.substr(0, end - (include ? 0 : longest.size())), longest};
  }
  return {text, ""};
}

TEST(StopStrings, CutsAcrossPieces) {
  EXPECT_EQ(run({"</s>"}, {"Hello <", "/", "s", "> more", " text"}), (Result{"Hello ", "</s>"}));
  EXPECT_EQ(run({"</s>"}, {"Hello <", "/", "s", "> more"}, true), (Result{"Hello </s>", "</s>"}));
  EXPECT_EQ(run({"</s>"}, {"a </", "b"}), (Result{"a </b", ""}));
  EXPECT_EQ(run({"</s>"}, {"a </s"}), (Result{"a </s", ""}));
  EXPECT_EQ(run({}, {"a", "b"}), (Result{"ab", ""}));
  EXPECT_EQ(run({"aab"}, {"aaab"}), (Result{"a", "aab"}));
  EXPECT_EQ(run({"Ende", "日本"}, {"日", "本"}), (Result{"", "日本"}));
}

TEST(StopStrings, ReleasesWhatCannotBecomeAStopAtOnce) {
  StopStrings cutter({"\n\n", "stop"});
  EXPECT_EQ(cutter.push("Hello"), "Hello");
  EXPECT_EQ(cutter.push(" s\n"), " s");
  EXPECT_EQ(cutter.push("sto"), "\n");
  EXPECT_EQ(cutter.push("ne"), "stone");
  EXPECT_EQ(cutter.push("\n"), "");
  EXPECT_EQ(cutter.finish(), "\n");
  EXPECT_EQ(cutter.matched(), nullptr);
}

TEST(StopStrings, AgreesWithTheDefinitionHoweverTheTextIsCut) {
  std::mt19937 random(3);
  const auto random_string = [&](std::size_t length) {
    std::string text;
    while (text.size() < length) text += char('a' + random() % 2);
    return text;
  };
  int stopped = 0;
  for (int repeat = 0; repeat < 5000; ++repeat) {
    std::vector<std::string> stops;
    for (unsigned i = random() % 4; i > 0; --i) stops.push_back(random_string(1 + random() % 7));
    const std::string text = random_string(random() % 30);
    std::vector<std::string> pieces;
    for (std::size_t at = 0, size; at < text.size(); at += size) {
      size = 1 + random() % 6;
      pieces.push_back(text.substr(at, size));
    }
    const bool include = random() % 2;
    const Result result = run(stops, pieces, include);
    ASSERT_EQ(result, expected(stops, text, include)) << text;
    if (!result.stop.empty()) ++stopped;
  }
  EXPECT_GT(stopped, 1000);
  EXPECT_LT(stopped, 4000);
}

TEST(StopStrings, SurvivesBeingCopied) {
  StopStrings original({"ab"});
  original.push("xab");
  const StopStrings copy = original;
  original = StopStrings({"other"});
  ASSERT_NE(copy.matched(), nullptr);
  EXPECT_EQ(*copy.matched(), "ab");
}

TEST(StopStrings, RefusesAnEmptyOne) { EXPECT_THROW(StopStrings({"a", ""}), Error); }

}  // namespace
}  // namespace isotope::text
