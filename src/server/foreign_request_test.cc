// Anthropic's messages and OpenAI's responses: what they become, and that what is wrong with one is
// called as its protocol calls it.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "server/api_error.h"
#include "server/messages_request.h"
#include "server/responses_request.h"

namespace isotope::server {
namespace {

const ModelLimits kLimits = {
    .names = {"m"}, .vocab_size = 100, .context_tokens = 64, .max_prompt_bytes = 1000};

ChatRequest messages_request(const std::string& body) {
  return parse_messages_request(parse_body(body), kLimits, MessagesFor::answering);
}
ResponsesRequest responses_request(const std::string& body) {
  return parse_responses_request(parse_body(body), kLimits);
}
std::string variable(const ChatRequest& request, std::string_view name) {
  const json::value* value = request.conversation.variables.if_contains(name);
  return value ? json::serialize(*value) : "-";
}

template <typename Parse>
std::string refused_field(Parse parse, const std::string& body) {
  try {
    parse(body);
  } catch (const ApiError& error) {
    EXPECT_TRUE(std::string_view(error.what()).starts_with(error.param())) << error.what();
    return error.param();
  }
  return "accepted";
}

TEST(MessagesRequest, GathersATurnsBlocks) {
  const ChatRequest request = messages_request(R"({
    "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "be",
      "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "brief"}],
    "messages": [
      {"role": "user", "content": "a"},
      {"role": "user", "content": [{"type": "text", "text": "b"}]},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking"},
        {"type": "text", "text": "c"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content":
          [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]},
        {"type": "text", "text": "d"}]}]})");
  EXPECT_EQ(variable(request, "messages"),
            R"([{"role":"system","content":"be\nbrief"},{"role":"user","content":"a\nb"},)"
            R"({"role":"assistant","content":"c","tool_calls":[{"id":"t1","type":"function",)"
            R"("function":{"name":"f","arguments":{"x":1}}},{"id":"t2","type":"function",)"
            R"("function":{"name":"g","arguments":{}}}],"reasoning_content":"hm"},)"
            R"({"role":"tool","content":"1","tool_call_id":"t1"},)"
            R"({"role":"tool","content":"2\n3","tool_call_id":"t2"},)"
            R"({"role":"user","content":"d"}])");
  EXPECT_EQ(request.answer.max_tokens, 9);
  EXPECT_FALSE(request.conversation.continue_final_message);
}

TEST(MessagesRequest, ReadsWhatElseThereIs) {
  const ChatRequest request = messages_request(R"({
    "max_tokens": 9, "stop_sequences": ["x"], "temperature": 0.5, "top_k": 3, "stream": true,
    "metadata": {"user_id": "u"}, "thinking": {"type": "disabled"}, "n": 5,
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"},
               "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  EXPECT_EQ(variable(request, "tools"),
            R"([{"type":"function","function":{"name":"f","description":"d",)"
            R"("parameters":{"type":"object"}}}])");
  EXPECT_EQ(request.conversation.thinking.enabled, false);
  EXPECT_TRUE(request.conversation.continue_final_message);
  EXPECT_EQ(request.answer.options.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(request.answer.options.sampling.top_k, 3);
  EXPECT_EQ(request.answer.choices, 1);
  EXPECT_TRUE(request.answer.stream);
}

TEST(MessagesRequest, CapsTheAnswerAtTheContext) {
  ChatRequest request =
      messages_request(R"({"max_tokens": 900, "messages": [{"role": "user", "content": "a"}]})");
  settle_max_tokens(request.answer, "max_tokens", std::nullopt, 60, kLimits);
  EXPECT_EQ(request.answer.options.sampling.max_tokens, 4);
  EXPECT_THROW(settle_max_tokens(request.answer, "max_tokens", std::nullopt, 64, kLimits),
               ApiError);
}

TEST(MessagesRequest, RefusesByName) {
  const auto refused = [](const std::string& members) {
    return refused_field(messages_request, R"({"max_tokens": 9, "messages": [)"
                                           R"({"role": "user", "content": "a"}])" +
                                               members + "}");
  };
  EXPECT_EQ(refused(""), "accepted");
  EXPECT_EQ(refused(R"(, "system": 1)"), "system");
  EXPECT_EQ(refused(R"(, "temperature": -1)"), "temperature");
  EXPECT_EQ(refused(R"(, "stop_sequences": [1])"), "stop_sequences");
  EXPECT_EQ(refused(R"(, "stop_sequences": "x")"), "stop_sequences");
  EXPECT_EQ(refused(R"(, "stop_token_ids": ["x"])"), "stop_token_ids[0]");
  EXPECT_EQ(refused(R"(, "thinking": {"type": "on"})"), "thinking.type");
  EXPECT_EQ(refused(R"(, "tools": [{"type": "web_search_20260318", "name": "w"}])"),
            "tools[0].type");
  EXPECT_EQ(refused(R"(, "tools": [{"input_schema": {}}])"), "tools[0].name");
  EXPECT_EQ(refused(R"(, "tools": [{"name": "f", "input_schema": 1}])"), "tools[0].input_schema");
  EXPECT_EQ(refused(R"(, "tools": [{"name": "f g"}])"), "tools[0].name");
  EXPECT_EQ(refused(R"(, "output_config": {"effort": "huge"})"), "output_config.effort");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "auto!"})"), "tool_choice.type");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "tool"})"), "tool_choice.name");
  EXPECT_EQ(refused(R"(, "mcp_servers": [{"name": "x"}])"), "mcp_servers");
  EXPECT_EQ(refused(R"(, "output_config": {"format": {"type": "x"}})"),
            "output_config.format.type");
}

TEST(MessagesRequest, RefusesBlocksByPlace) {
  const auto refused = [](const std::string& role, const std::string& content) {
    return refused_field(messages_request, R"({"max_tokens": 9, "messages": [{"role": ")" + role +
                                               R"(", "content": )" + content + "}]}");
  };
  const std::string block = "messages[0].content[0].";
  EXPECT_EQ(refused("user", R"([{"type": "image", "source": {}}])"), block + "type");
  EXPECT_EQ(refused("user", R"([{"type": "text"}])"), block + "text");
  EXPECT_EQ(refused("user", R"([{"type": "tool_result"}])"), block + "tool_use_id");
  EXPECT_EQ(refused("user", R"([{"type": "tool_result", "tool_use_id": "1",
                                 "content": [{"type": "image"}]}])"),
            block + "content[0].type");
  EXPECT_EQ(refused("assistant", R"([{"type": "tool_use", "id": "1", "name": "f", "input": 1}])"),
            block + "input");
  EXPECT_EQ(refused("assistant", R"([{"type": "server_tool_use"}])"), block + "type");
  EXPECT_EQ(refused("user", "[1]"), "messages[0].content[0]");
  EXPECT_EQ(refused("user", "1"), "messages[0].content");
  EXPECT_EQ(refused("king", R"("x")"), "messages[0].role");
  EXPECT_EQ(refused_field(messages_request, R"({"messages": []})"), "max_tokens");
  EXPECT_EQ(refused_field(messages_request, R"({"max_tokens": 1})"), "messages");
  EXPECT_EQ(refused_field(messages_request, R"({"max_tokens": 0, "messages": []})"), "max_tokens");
}

TEST(ResponsesRequest, TakesAStringOrItems) {
  EXPECT_EQ(variable(responses_request(R"({"input": "hi", "instructions": "be brief"})").chat,
                     "messages"),
            R"([{"role":"system","content":"be brief"},{"role":"user","content":"hi"}])");
  const ResponsesRequest request = responses_request(R"({"input": [
      {"role": "user", "content": "a"},
      {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
      {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "short"}],
       "content": [{"type": "reasoning_text", "text": "hm"}]},
      {"type": "message", "role": "assistant", "id": "x", "status": "completed",
       "content": [{"type": "output_text", "text": "c", "annotations": []},
                   {"type": "refusal", "refusal": "no"}]},
      {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{\"x\": 1}"},
      {"type": "function_call_output", "call_id": "1", "output": "2"},
      {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "3"}]}
      ]})");
  EXPECT_EQ(variable(request.chat, "messages"),
            R"([{"role":"user","content":"a"},{"role":"system","content":"b"},)"
            R"({"role":"assistant","content":"c\nno","tool_calls":[{"id":"1","type":"function",)"
            R"("function":{"name":"f","arguments":{"x":1}}}],"reasoning_content":"hm"},)"
            R"({"role":"tool","content":"2","tool_call_id":"1"},)"
            R"({"role":"tool","content":"3","tool_call_id":"2"}])");
}

TEST(ResponsesRequest, ReadsAndRepeatsWhatElseThereIs) {
  const ResponsesRequest request = responses_request(R"({
    "model": "m", "input": "hi", "max_output_tokens": 9, "temperature": 0.7, "top_p": 0.25,
    "store": true, "truncation": "disabled", "metadata": {"k": "v"}, "user": "u",
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "top_logprobs": 2,
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
    "safety_identifier": "s", "prompt_cache_key": "p", "seed": 7})");
  EXPECT_EQ(request.chat.answer.max_tokens, 9);
  EXPECT_EQ(request.chat.max_tokens_field, "max_output_tokens");
  EXPECT_EQ(request.chat.answer.options.sampling.seed, 7);
  EXPECT_EQ(request.chat.answer.options.sampling.logprobs, 2);
  EXPECT_EQ(variable(request.chat, "tools"),
            R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"},)"
            R"("strict":true}}])");
  const json::object& echo = request.echo;
  EXPECT_EQ(echo.at("max_output_tokens"), 9);
  EXPECT_EQ(echo.at("temperature"), 0.7);
  EXPECT_EQ(echo.at("metadata").at("k"), "v");
  EXPECT_EQ(echo.at("tools").at(0).at("name"), "f");
  EXPECT_EQ(echo.at("store"), false);
  EXPECT_EQ(echo.at("user"), "u");
  EXPECT_EQ(echo.at("prompt_cache_key"), "p");
  EXPECT_EQ(echo.at("tool_choice"), "auto");
}

TEST(ResponsesRequest, RefusesByName) {
  const auto refused = [](const std::string& members) {
    return refused_field(responses_request, R"({"input": "a")" + members + "}");
  };
  EXPECT_EQ(refused(""), "accepted");
  EXPECT_EQ(refused(R"(, "previous_response_id": "resp_1")"), "previous_response_id");
  EXPECT_EQ(refused(R"(, "conversation": "c")"), "conversation");
  EXPECT_EQ(refused(R"(, "background": true)"), "background");
  EXPECT_EQ(refused(R"(, "background": false)"), "accepted");
  EXPECT_EQ(refused(R"(, "prompt": {"id": "p"})"), "prompt");
  EXPECT_EQ(refused(R"(, "truncation": "auto")"), "truncation");
  EXPECT_EQ(refused(R"(, "max_output_tokens": 0)"), "max_output_tokens");
  EXPECT_EQ(refused(R"(, "top_p": 2)"), "top_p");
  EXPECT_EQ(refused(R"(, "metadata": {"k": 1})"), "metadata");
  EXPECT_EQ(refused(R"(, "tools": [{"type": "web_search"}])"), "tools[0].type");
  EXPECT_EQ(refused(R"(, "tools": [{"type": "function"}])"), "tools[0].name");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "file_search"})"), "tool_choice.type");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []})"),
            "tool_choice.tools");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "allowed_tools", "mode": "none",
                         "tools": [{"type": "function", "name": "f"}]})"),
            "tool_choice.mode");
  EXPECT_EQ(refused(R"(, "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]})"),
            "tool_choice.tools[0].type");
  EXPECT_EQ(refused(R"(, "reasoning": {"effort": "huge"})"), "reasoning.effort");
  EXPECT_EQ(refused(R"(, "text": {"format": {}})"), "text.format.type");
  EXPECT_EQ(refused(R"(, "text": {"format": {"type": "xml"}})").substr(0, 11), "text.format");
  EXPECT_EQ(refused_field(responses_request, "{}"), "input");
  EXPECT_EQ(refused_field(responses_request, R"({"input": []})"), "input");
  EXPECT_EQ(refused_field(responses_request, R"({"input": 1})"), "input");
}

TEST(ResponsesRequest, RefusesItemsByPlace) {
  const auto refused = [](const std::string& item) {
    return refused_field(responses_request, R"({"input": [)" + item + "]}");
  };
  EXPECT_EQ(refused("1"), "input[0]");
  EXPECT_EQ(refused(R"({"type": "item_reference", "id": "x"})"), "input[0].type");
  EXPECT_EQ(refused(R"({"type": "web_search_call"})"), "input[0].type");
  EXPECT_EQ(refused(R"({"role": "king", "content": "x"})"), "input[0].role");
  EXPECT_EQ(refused(R"({"role": "user"})"), "input[0].content");
  EXPECT_EQ(refused(R"({"role": "user", "content": [{"type": "input_image"}]})"),
            "input[0].content[0].type");
  EXPECT_EQ(refused(R"({"type": "function_call", "call_id": "1", "name": "f"})"),
            "input[0].arguments");
  EXPECT_EQ(refused(R"({"type": "function_call_output", "call_id": "1"})"), "input[0].output");
}

}  // namespace
}  // namespace isotope::server
