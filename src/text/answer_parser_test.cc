// Answers of both families taken apart, whole and in pieces.
#include "text/answer_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace isotope::text {
namespace {

constexpr AnswerFormat kQwen3{.reasoning = ReasoningSyntax::qwen3,
                              .tool_calls = ToolCallSyntax::hermes};
constexpr AnswerFormat kMistral{.reasoning = ReasoningSyntax::mistral,
                                .tool_calls = ToolCallSyntax::mistral};

AnswerFormat starting(AnswerFormat format, AnswerFormat::Start start) {
  format.start = start;
  return format;
}

/// Everything in one line: "(reasoning)content{name arguments}…".
std::string summary(const ParsedAnswer& answer) {
  std::string line;
  if (!answer.reasoning.empty()) line += "(" + answer.reasoning + ")";
  line += answer.content;
  for (const ToolCall& call : answer.calls) line += "{" + call.name + " " + call.arguments + "}";
  return line;
}

ParsedAnswer parse_in_steps(const AnswerFormat& format, std::string_view text, std::size_t first,
                            std::size_t step, bool by_model) {
  AnswerParser parser(format);
  ParsedAnswer answer;
  AnswerDeltas deltas;
  parser.push(text.substr(0, first), deltas);
  for (std::size_t i = first; i < text.size(); i += step) parser.push(text.substr(i, step), deltas);
  parser.finish(by_model, deltas);
  for (const AnswerDelta& delta : deltas) answer.add(delta);
  EXPECT_EQ(parser.calls(), answer.calls.size());
  EXPECT_EQ(parser.decided_bytes(), text.size());
  return answer;
}

/// At once, after checking that no cut changes anything.
std::string parse(const AnswerFormat& format, std::string_view text, bool by_model = true) {
  const std::string whole =
      summary(parse_in_steps(format, text, text.size(), text.size(), by_model));
  EXPECT_EQ(summary(parse_in_steps(format, text, 0, 1, by_model)), whole) << "byte by byte";
  for (std::size_t cut = 1; cut < text.size(); ++cut)
    EXPECT_EQ(summary(parse_in_steps(format, text, cut, text.size(), by_model)), whole)
        << "cut at " << cut;
  return whole;
}

TEST(AnswerParser, WithoutSyntaxAllIsContent) {
  const std::string text = " <think>\nx</think> [TOOL_CALLS]f[ARGS]{}\n";
  EXPECT_EQ(parse({}, text), text);
}

TEST(Qwen3Reasoning, IsSplitFromTheAnswer) {
  EXPECT_EQ(parse(kQwen3, "<think>\nfour?\n\nyes\n</think>\n\n4"), "(four?\n\nyes)4");
  EXPECT_EQ(parse(kQwen3, "\n<think>\nx</think>4\n"), "(x)4\n");
  EXPECT_EQ(parse(kQwen3, "<think>\n\n</think>\n\n4"), "4");
}

TEST(Qwen3Reasoning, MayHaveBeenOpenedByThePrompt) {
  const AnswerFormat opened = starting(kQwen3, AnswerFormat::Start::reasoning);
  EXPECT_EQ(parse(opened, "x\n</think>\n\n4"), "(x)4");
  EXPECT_EQ(parse(opened, "<think>\nx\n</think>\n\n4"), "(x)4");
  EXPECT_EQ(parse(opened, "cut off"), "(cut off)");
}

TEST(Qwen3Reasoning, MayLackItsOpeningTag) {
  const AnswerFormat expected = starting(kQwen3, AnswerFormat::Start::expected);
  EXPECT_EQ(parse(expected, "x\n</think>\n\n4"), "(x)4");
  EXPECT_EQ(parse(expected, "<think>\nx <tool_call> y\n</think>\n\n4"), "(x <tool_call> y)4");
  // A call ends reasoning that nobody has opened.
  EXPECT_EQ(parse(expected, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"),
            "{f {}}");
}

TEST(Qwen3Reasoning, OpensAtTheStartOnly) {
  EXPECT_EQ(parse(kQwen3, "The tag <think> and </think>"), "The tag <think> and </think>");
}

TEST(MistralReasoning, IsSplitWhereverItStands) {
  EXPECT_EQ(parse(kMistral, "[THINK]\nx\n[/THINK]4"), "(\nx\n)4");
  EXPECT_EQ(parse(kMistral, "a [THINK]x[/THINK] b[THINK]y"), "(xy)a  b");
  EXPECT_EQ(parse(kMistral, "no reasoning[/THINK]"), "no reasoning[/THINK]");
}

TEST(HermesCalls, AreReadWithTextAround) {
  EXPECT_EQ(parse(kQwen3,
                  "<think>\nuse f\n</think>\n\nI will.\n<tool_call>\n"
                  "{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>\n"
                  "<tool_call>{\"arguments\":{},\"name\":\"g\"}</tool_call>\nDone.\n"),
            "(use f)I will.\nDone.\n{f {\"a\": [1, \"}\"]}}{g {}}");
}

TEST(HermesCalls, KeepMarkersInsideOfStrings) {
  EXPECT_EQ(parse(kQwen3,
                  "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"</tool_call>\"}}\n"
                  "</tool_call>"),
            "{f {\"x\": \"</tool_call>\"}}");
}

TEST(HermesCalls, NeedNoArguments) {
  EXPECT_EQ(parse(kQwen3, "<tool_call>{\"name\": \"f\"}</tool_call>"), "{f {}}");
  EXPECT_EQ(parse(kQwen3, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>"),
            "{f {}}");
}

TEST(MistralCalls, AreReadWithTextAround) {
  EXPECT_EQ(parse(kMistral,
                  "[THINK]use f[/THINK]I will.[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}"),
            "(use f)I will.{f {\"a\": 1}}{g {}}");
  EXPECT_EQ(parse(kMistral, "[THINK]use f[TOOL_CALLS]f{\"a\": 1} so"), "(use f)so{f {\"a\": 1}}");
}

TEST(MistralCalls, NeedNoArguments) {
  EXPECT_EQ(parse(kMistral, "[TOOL_CALLS]f[ARGS]"), "{f {}}");
  EXPECT_EQ(parse(kMistral, "[TOOL_CALLS]f[ARGS]", false), "{f }");
  EXPECT_EQ(parse(kMistral, "[TOOL_CALLS]f[ARGS] [TOOL_CALLS]g[ARGS]{}"), "{f {}}{g {}}");
}

TEST(MarkersAsTokens, AreNotFoundInText) {
  AnswerFormat format = kMistral;
  format.markers_are_tokens = true;
  AnswerParser parser(format);
  AnswerDeltas deltas;
  parser.push("[TOOL_CALLS]f[ARGS]{}", deltas);
  parser.push_marker("[TOOL_CALLS]", deltas);
  parser.push("f", deltas);
  parser.push_marker("[ARGS]", deltas);
  parser.push("{\"s\": \"[TOOL_CALLS]\"}", deltas);
  parser.finish(true, deltas);
  ParsedAnswer answer;
  for (const AnswerDelta& delta : deltas) answer.add(delta);
  EXPECT_EQ(summary(answer), "[TOOL_CALLS]f[ARGS]{}{f {\"s\": \"[TOOL_CALLS]\"}}");
}

TEST(AnswerParser, SaysWhatIsReasoning) {
  AnswerParser parser(kQwen3);
  AnswerDeltas deltas;
  parser.push("<think>ab</think>c", deltas);
  EXPECT_TRUE(parser.is_reasoning(0));
  EXPECT_TRUE(parser.is_reasoning(16));
  EXPECT_FALSE(parser.is_reasoning(17));
  EXPECT_FALSE(parser.is_reasoning(1000));
}

TEST(AnswerParser, SaysWhetherCallsAreComplete) {
  const auto complete = [](std::string_view text) {
    AnswerParser parser(kQwen3);
    AnswerDeltas deltas;
    parser.push(text, deltas);
    parser.finish(true, deltas);
    return parser.complete_calls();
  };
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}";
  EXPECT_TRUE(complete(call + "}</tool_call>"));
  EXPECT_TRUE(complete(call));
  EXPECT_FALSE(complete(call.substr(0, call.size() - 1)));
  EXPECT_FALSE(complete("no call"));
}

TEST(AnswerParser, GivesACallAsSoonAsItIsOne) {
  AnswerParser parser(kQwen3, [] { return std::string("id"); });
  AnswerDeltas deltas;
  parser.push("<tool_call>\n{\"name\": \"f\", \"arguments\": ", deltas);
  EXPECT_TRUE(deltas.empty());
  parser.push("{\"a", deltas);
  ASSERT_EQ(deltas.size(), 2u);
  EXPECT_EQ(deltas[0].kind, AnswerDelta::Kind::call);
  EXPECT_EQ(deltas[0].text, "f");
  EXPECT_EQ(deltas[0].id, "id");
  EXPECT_EQ(deltas[1].kind, AnswerDelta::Kind::arguments);
  EXPECT_EQ(deltas[1].text, "{\"a");
}

}  // namespace
}  // namespace isotope::text
