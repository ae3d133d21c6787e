// Answers as the families' own templates write them, and answers that went wrong: data files of
// tests/data.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "text/answer_parser.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/tokenizer_fixtures.h"

namespace isotope::text {
namespace {

std::filesystem::path data(std::string_view name) {
  return std::filesystem::path(ISOTOPE_TEST_DATA) / name;
}

AnswerFormat format_of(ToolCallSyntax syntax) {
  return {.reasoning =
              syntax == ToolCallSyntax::mistral ? ReasoningSyntax::mistral : ReasoningSyntax::qwen3,
          .tool_calls = syntax};
}

struct Parsed {
  AnswerDeltas deltas;  // joined
  bool complete;
};

void join(const AnswerDeltas& deltas, AnswerDeltas& out) {
  for (const AnswerDelta& delta : deltas) {
    const bool goes_on = delta.kind != AnswerDelta::Kind::call && !out.empty() &&
                         out.back().kind == delta.kind && out.back().call == delta.call;
    if (goes_on) {
      out.back().text += delta.text;
    } else {
      out.push_back(delta);
    }
  }
}

Parsed parse_in_pieces(const AnswerFormat& format, std::string_view text, std::size_t size) {
  AnswerParser parser(format);
  Parsed parsed{};
  for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
    AnswerDeltas deltas;
    parser.push(text.substr(0, size), deltas);
    join(deltas, parsed.deltas);
  }
  AnswerDeltas deltas;
  parser.finish(true, deltas);
  join(deltas, parsed.deltas);
  parsed.complete = parser.complete_calls();
  return parsed;
}

/// As a model's tokens bring it: markers are tokens.
Parsed parse_tokens(AnswerFormat format, const Tokenizer& tokenizer, std::string_view text) {
  format.find_marker_tokens(tokenizer);
  EXPECT_TRUE(format.markers_are_tokens);
  AnswerParser parser(format);
  Detokenizer detokenizer(tokenizer, true, format.marker_tokens);
  Parsed parsed{};
  for (const TokenId id : tokenizer.encode(text, {})) {
    AnswerDeltas deltas;
    const std::string piece = detokenizer.push(id);
    const auto& markers = format.marker_tokens;
    if (std::find(markers.begin(), markers.end(), id) != markers.end()) {
      parser.push_marker(piece, deltas);
    } else {
      parser.push(piece, deltas);
    }
    join(deltas, parsed.deltas);
  }
  AnswerDeltas deltas;
  parser.finish(true, deltas);
  join(deltas, parsed.deltas);
  parsed.complete = parser.complete_calls();
  return parsed;
}

/// As the data file writes it: [{"content": "…"}, {"call": "f"}, {"arguments": "{}"}].
std::string to_text(const AnswerDeltas& deltas) {
  constexpr const char* kKinds[] = {"reasoning", "content", "call", "arguments"};
  json::array result;
  for (const AnswerDelta& delta : deltas)
    result.push_back(json::object{{kKinds[int(delta.kind)], delta.text}});
  return json::serialize(result);
}

TEST(MalformedCalls, AreTakenAsDocumented) {
  const json::value document = parse_json_file(data("tool-calls/malformed.json"));
  const json::array& cases = document.at("cases").as_array();
  ASSERT_GE(cases.size(), 50u);
  for (const json::value& entry : cases) {
    const std::string text = text_of(entry.at("text"));
    const bool mistral = text_of(entry.at("syntax")) == "mistral";
    const AnswerFormat format =
        format_of(mistral ? ToolCallSyntax::mistral : ToolCallSyntax::hermes);
    SCOPED_TRACE(text_of(entry.at("syntax")) + ": " + text_of(entry.at("name")));
    for (const std::size_t size : {text.size(), std::size_t(1), std::size_t(3)}) {
      const Parsed parsed = parse_in_pieces(format, text, size);
      EXPECT_EQ(to_text(parsed.deltas), json::serialize(entry.at("deltas"))) << size;
      EXPECT_EQ(parsed.complete, entry.at("complete").as_bool()) << size;
    }
  }
}

struct VectorFile {
  const char* name;
  const char* tokenizer;
  ToolCallSyntax syntax;
  const char* end_of_turn;
};

/// What a message says, in the form of ParsedAnswer.
ParsedAnswer meaning_of(const json::object& message) {
  ParsedAnswer answer;
  const json::value& content = message.at("content");
  if (content.is_array()) {
    for (const json::value& part : content.get_array()) {
      const bool thinking = part.at("type").as_string() == "thinking";
      (thinking ? answer.reasoning : answer.content) +=
          text_of(part.at(thinking ? "thinking" : "text"));
    }
  } else if (content.is_string()) {
    answer.content = text_of(content);
  }
  if (const json::value* reasoning = message.if_contains("reasoning_content"))
    answer.reasoning = text_of(*reasoning);
  // Some write Qwen3's reasoning into the content, as the model does.
  if (const std::size_t end = answer.content.find("\n</think>\n\n"); end != std::string::npos) {
    answer.reasoning = answer.content.substr(0, end).substr(std::string_view("<think>\n").size());
    answer.content.erase(0, end + std::string_view("\n</think>\n\n").size());
  }
  if (const json::value* calls = message.if_contains("tool_calls"))
    for (const json::value& call : calls->as_array()) {
      const json::value& arguments = call.at("function").at("arguments");
      std::string text = arguments.is_string() ? text_of(arguments) : json::serialize(arguments);
      if (text.empty()) text = "{}";
      answer.calls.push_back({.id = {},
                              .name = text_of(call.at("function").at("name")),
                              .arguments = std::move(text)});
    }
  return answer;
}

void expect_meaning(const AnswerDeltas& deltas, const ParsedAnswer& expected) {
  ParsedAnswer answer;
  for (const AnswerDelta& delta : deltas) answer.add(delta);
  EXPECT_EQ(answer.reasoning, expected.reasoning);
  EXPECT_EQ(answer.content, expected.content);
  ASSERT_EQ(answer.calls.size(), expected.calls.size());
  for (std::size_t i = 0; i < answer.calls.size(); ++i) {
    EXPECT_EQ(answer.calls[i].name, expected.calls[i].name);
    EXPECT_EQ(parse_json(answer.calls[i].arguments, "answer"),
              parse_json(expected.calls[i].arguments, "message"));
  }
}

/// The variables of a case up to message `count`.
json::object variables_of(const json::value& document, const json::value& entry, std::size_t count,
                          bool generation_prompt) {
  json::object variables = document.at("variables").as_object();
  for (const char* field : {"tools", "messages"})
    if (const json::value* value = entry.as_object().if_contains(field)) variables[field] = *value;
  variables["messages"].as_array().resize(count);
  variables["add_generation_prompt"] = generation_prompt;
  return variables;
}

class AnswerVectors : public testing::TestWithParam<VectorFile> {};

TEST_P(AnswerVectors, RoundTrip) {
  const VectorFile& file = GetParam();
  const json::value document =
      parse_json_file(data("chat-vectors") / (std::string(file.name) + ".json"));
  const std::string name = text_of(document.at("template"));
  const ChatTemplate chat = ChatTemplate::parse(read_file(data("chat-templates") / name), name);
  const auto tokenizer = Tokenizer::load(unpacked_fixture(file.tokenizer));
  EXPECT_EQ(dialect_of(*tokenizer, &chat).tool_calls, file.syntax);
  const AnswerFormat format = format_of(file.syntax);
  int answers = 0, calls = 0;
  for (const json::value& entry : document.at("cases").as_array()) {
    if (entry.as_object().contains("error")) continue;
    SCOPED_TRACE(text_of(entry.at("name")));
    const json::array& messages = entry.at("messages").as_array();
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].at("role").as_string() != "assistant") continue;
      const std::string before = chat.render(variables_of(document, entry, i, true));
      const std::string with = chat.render(variables_of(document, entry, i + 1, false));
      ASSERT_TRUE(with.starts_with(before));
      const std::string text =
          with.substr(before.size(), with.rfind(file.end_of_turn) - before.size());
      SCOPED_TRACE(text);
      ParsedAnswer expected = meaning_of(messages[i].as_object());
      const bool shows_reasoning = text.find(expected.reasoning) != std::string::npos;
      if (!shows_reasoning) expected.reasoning.clear();  // the template has no place for it
      for (const std::size_t size : {text.size(), std::size_t(1)})
        expect_meaning(parse_in_pieces(format, text, size).deltas, expected);
      expect_meaning(parse_tokens(format, *tokenizer, text).deltas, expected);
      ++answers;
      calls += int(expected.calls.size());
    }
  }
  EXPECT_GE(answers, 8);
  EXPECT_GE(calls, 5);
}

constexpr auto kHermes = ToolCallSyntax::hermes;
constexpr auto kMistral = ToolCallSyntax::mistral;

INSTANTIATE_TEST_SUITE_P(
    Models, AnswerVectors,
    testing::Values(VectorFile{"qwen3-2025-04", "qwen3", kHermes, "<|im_end|>"},
                    VectorFile{"qwen3-2025-07", "qwen3", kHermes, "<|im_end|>"},
                    VectorFile{"ministral3-instruct-8b", "ministral3-hf", kMistral, "</s>"},
                    VectorFile{"ministral3-reasoning", "ministral3-hf", kMistral, "</s>"},
                    VectorFile{"ministral3-reasoning-later", "ministral3-hf", kMistral, "</s>"},
                    VectorFile{"mistral-common-v13_image", "ministral3-tekken", kMistral, "</s>"},
                    VectorFile{"mistral-common-v13_image_think", "ministral3-tekken", kMistral,
                               "</s>"}),
    [](const auto& test) {
      std::string name = test.param.name;
      for (char& c : name)
        if (c == '-') c = '_';
      return name;
    });

}  // namespace
}  // namespace isotope::text
