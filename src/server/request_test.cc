// What requests may say, and that everything else is refused by the name of the field.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/completion_request.h"

namespace isotope::server {
namespace {

const ModelLimits kLimits = {
    .names = {"m"}, .vocab_size = 100, .context_tokens = 64, .max_prompt_bytes = 1000};

CompletionRequest completion(const std::string& body) {
  return parse_completion_request(parse_body(body), kLimits);
}
ChatRequest chat_request(const std::string& body) {
  return parse_chat_request(parse_body(body), kLimits);
}
std::string messages(const ChatRequest& request) {
  return json::serialize(request.conversation.variables.at("messages"));
}

template <typename Parse>
ApiError refusal(Parse parse, const std::string& body) {
  try {
    parse(body);
  } catch (const ApiError& error) {
    return error;
  }
  ADD_FAILURE() << "accepted " << body;
  return ApiError(200, "");
}

TEST(CompletionRequest, ReadsEveryField) {
  const CompletionRequest request = completion(R"({
    "model": "m", "prompt": "hi", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
    "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2,
    "logit_bias": {"17": -100, "3": 5.5}, "logprobs": 5, "n": 2, "best_of": 2, "echo": true,
    "stop": ["a", "b"], "stop_token_ids": [9], "seed": -5, "ignore_eos": true, "min_tokens": 3,
    "add_special_tokens": false, "skip_special_tokens": false, "include_stop_str_in_output": true,
    "return_tokens_as_token_ids": true, "return_token_ids": true, "user": "u", "unknown": 1,
    "stream": true, "stream_options": {"include_usage": true}})");
  const engine::SamplingParams& sampling = request.answer.options.sampling;
  EXPECT_EQ(std::get<std::string>(request.prompts.at(0)), "hi");
  EXPECT_EQ(request.answer.max_tokens, 7);
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(sampling.presence_penalty, -1.0f);
  EXPECT_EQ(sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(sampling.logit_bias,
            (std::vector<std::pair<TokenId, float>>{{17, -100.0f}, {3, 5.5f}}));
  EXPECT_EQ(sampling.logprobs, 5);
  EXPECT_EQ(sampling.prompt_logprobs, 5);  // echo shows those of the prompt, too
  EXPECT_FALSE(request.prompt_logprobs);
  EXPECT_EQ(request.answer.choices, 2);
  EXPECT_EQ(request.answer.options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.stop_token_ids, std::vector<TokenId>{9});
  EXPECT_EQ(sampling.seed, std::uint64_t(-5));
  EXPECT_TRUE(sampling.ignore_eos);
  EXPECT_EQ(sampling.min_tokens, 3);
  EXPECT_TRUE(request.echo);
  EXPECT_FALSE(request.add_special_tokens);
  EXPECT_FALSE(request.answer.options.skip_special_tokens);
  EXPECT_TRUE(request.answer.options.include_stop_text);
  EXPECT_TRUE(request.answer.tokens_as_token_ids);
  EXPECT_TRUE(request.answer.return_token_ids);
  EXPECT_TRUE(request.answer.stream);
  EXPECT_TRUE(request.answer.include_usage);
}

TEST(CompletionRequest, SilenceMeansTheModelsDefaults) {
  ModelLimits limits = kLimits;
  limits.default_sampling.temperature = 0.6f;
  limits.default_sampling.top_k = 20;
  const CompletionRequest request = parse_completion_request(
      parse_body(R"({"prompt": "x", "top_k": null, "stop": "", "logprobs": false})"), limits);
  EXPECT_EQ(request.answer.options.sampling.temperature, 0.6f);
  EXPECT_EQ(request.answer.options.sampling.top_k, 20);
  EXPECT_FALSE(request.answer.options.sampling.logprobs);
  EXPECT_FALSE(request.answer.options.sampling.seed);
  EXPECT_FALSE(request.answer.max_tokens);
  EXPECT_TRUE(request.answer.options.stop.empty());
}

TEST(CompletionRequest, TakesPromptsInFourForms) {
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(completion(R"({"prompt": ["a", "b"]})").prompts,
            (std::vector<CompletionPrompt>{"a", "b"}));
  EXPECT_EQ(completion(R"({"prompt": [1, 2.0, 99]})").prompts,
            (std::vector<CompletionPrompt>{Ids{1, 2, 99}}));
  EXPECT_EQ(completion(R"({"prompt": [[1], [2, 3]]})").prompts,
            (std::vector<CompletionPrompt>{Ids{1}, Ids{2, 3}}));
}

struct Refusal {
  std::string fields, param;
};

TEST(CompletionRequest, RefusesByName) {
  const Refusal cases[] = {
      {R"("temperature": -1)", "temperature"},
      {R"("temperature": "hot")", "temperature"},
      {R"("temperature": 1e999)", "temperature"},
      {R"("temperature": true)", "temperature"},
      {R"("top_p": 0)", "top_p"},
      {R"("top_p": 1.01)", "top_p"},
      {R"("min_p": -0.1)", "min_p"},
      {R"("top_k": 1.5)", "top_k"},
      {R"("top_k": -2)", "top_k"},
      {R"("top_k": 99999999999)", "top_k"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("presence_penalty": 2.5)", "presence_penalty"},
      {R"("frequency_penalty": [])", "frequency_penalty"},
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 1e30)", "max_tokens"},
      {R"("max_tokens": 18446744073709551615)", "max_tokens"},
      {R"("max_tokens": "16")", "max_tokens"},
      {R"("min_tokens": -1)", "min_tokens"},
      {R"("n": 0)", "n"},
      {R"("n": 129)", "n"},
      {R"("best_of": 0)", "best_of"},
      {R"("suffix": "x")", "suffix"},
      {R"("logprobs": 21)", "logprobs"},
      {R"("logprobs": true)", "logprobs"},
      {R"("prompt_logprobs": -1)", "prompt_logprobs"},
      {R"("prompt_logprobs": 1, "stream": true)", "prompt_logprobs"},
      {R"("stop": 5)", "stop"},
      {R"("stop": ["a", ""])", "stop"},
      {R"("stop": ["a", 1])", "stop"},
      {R"("stop_token_ids": [100])", "stop_token_ids[0]"},
      {R"("stop_token_ids": 1)", "stop_token_ids"},
      {R"("logit_bias": {"100": 1})", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"-1": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 101})", "logit_bias.1"},
      {R"("logit_bias": {"1": null})", "logit_bias.1"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("seed": 0.5)", "seed"},
      {R"("seed": 9223372036854775808)", "seed"},
      {R"("stream": "yes")", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": 1)", "stream_options"},
      {R"("echo": 1)", "echo"},
      {R"("ignore_eos": "false")", "ignore_eos"},
      {R"("model": 7)", "model"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("guided_regex": 5)", "guided_regex"},
      {R"("guided_regex": "a*", "guided_choice": ["a"])", "guided_choice"},
      {R"("guided_choice": [])", "guided_choice"},
      {R"("structured_outputs": {"json": 5})", "structured_outputs.json"},
      {R"("structured_outputs": {"structural_tag": {"a": 1}})",
       "structured_outputs.structural_tag"},
      {R"("use_beam_search": true)", "use_beam_search"},
      {R"("n": 128, "prompt": ["1","2","3","4","5","6","7","8","9"])", "n"},
  };
  for (const Refusal& refused : cases) {
    const bool has_prompt = refused.fields.find("\"prompt\"") != std::string::npos;
    const std::string body =
        "{" + std::string(has_prompt ? "" : R"("prompt": "x", )") + refused.fields + "}";
    const ApiError error = refusal(completion, body);
    EXPECT_EQ(error.status(), 400) << body;
    EXPECT_EQ(error.param(), refused.param) << body << ": " << error.what();
    EXPECT_NE(std::string(error.what()).find(refused.param), std::string::npos) << error.what();
  }
}

TEST(CompletionRequest, RefusesPromptsByName) {
  const Refusal cases[] = {
      {"{}", "prompt"},
      {R"({"prompt": null})", "prompt"},
      {R"({"prompt": 5})", "prompt"},
      {R"({"prompt": {}})", "prompt"},
      {R"({"prompt": []})", "prompt"},
      {R"({"prompt": [[]]})", "prompt[0]"},
      {R"({"prompt": [1, "a"]})", "prompt[1]"},
      {R"({"prompt": ["a", 1]})", "prompt[1]"},
      {R"({"prompt": [[1], "a"]})", "prompt[1]"},
      {R"({"prompt": [null]})", "prompt[0]"},
      {R"({"prompt": [-1]})", "prompt[0]"},
      {R"({"prompt": [1, 100]})", "prompt[1]"},
      {R"({"prompt": [[1, 2.5]]})", "prompt[0][1]"},
  };
  for (const Refusal& refused : cases)
    EXPECT_EQ(refusal(completion, refused.fields).param(), refused.param) << refused.fields;
}

TEST(RequestBody, MustBeJson) {
  for (const std::string body :
       {"", "{", "[1]", "nul", "{\"a\":1} x", "{\"prompt\": \"\xff\"}", "{\"temperature\": NaN}"}) {
    const ApiError error = refusal(completion, body);
    EXPECT_EQ(error.status(), 400) << body;
  }
  EXPECT_NE(std::string(refusal(completion, R"({"temperature": NaN})").what()).find("temperature"),
            std::string::npos);
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  EXPECT_NE(std::string(refusal(completion, deep).what()).find("nested"), std::string::npos);
}

TEST(RequestBody, AnotherModelIsNotFound) {
  const ApiError error = refusal(completion, R"({"model": "gpt-4", "prompt": "x"})");
  EXPECT_EQ(error.status(), 404);
  EXPECT_EQ(error.code(), "model_not_found");
  EXPECT_NE(std::string(error.what()).find("'m'"), std::string::npos);
}

std::int64_t settled(std::optional<std::int64_t> asked, std::optional<std::int64_t> fallback,
                     std::int64_t prompt_tokens, std::int64_t min_tokens = 0) {
  AnswerFields answer;
  answer.max_tokens = asked;
  answer.options.sampling.min_tokens = min_tokens;
  settle_max_tokens(answer, "max_tokens", fallback, prompt_tokens, kLimits);
  return answer.options.sampling.max_tokens;
}

TEST(MaxTokens, FollowsRequestContextAndDefault) {
  EXPECT_EQ(settled(5, 16, 10), 5);
  EXPECT_EQ(settled(54, 16, 10), 54);
  EXPECT_EQ(settled(std::nullopt, 16, 10), 16);
  EXPECT_EQ(settled(std::nullopt, 16, 60), 4);
  EXPECT_EQ(settled(std::nullopt, std::nullopt, 10), 54);
  EXPECT_EQ(settled(0, 16, 64), 0);
  EXPECT_THROW(settled(55, 16, 10), ApiError);
  EXPECT_THROW(settled(std::nullopt, 16, 64), ApiError);
  EXPECT_THROW(settled(5, 16, 10, 6), ApiError);
}

TEST(ChatRequest, BringsMessagesIntoTheTemplatesForm) {
  const ChatRequest request = chat_request(R"({"messages": [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"}],
    "max_tokens": 5, "max_completion_tokens": 9, "logprobs": true, "top_logprobs": 3,
    "chat_template_kwargs": {"enable_thinking": false}})");
  EXPECT_EQ(messages(request),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"a\nb"},)"
            R"({"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function",)"
            R"("function":{"name":"f","arguments":{"x":1}}}]},)"
            R"({"role":"tool","content":"2","tool_call_id":"c1"}])");
  EXPECT_EQ(request.answer.max_tokens, 9);
  EXPECT_EQ(request.answer.options.sampling.logprobs, 3);
  EXPECT_EQ(request.conversation.variables.at("enable_thinking"), false);
  EXPECT_EQ(request.conversation.variables.at("add_generation_prompt"), true);
  EXPECT_FALSE(request.conversation.variables.contains("tools"));
}

TEST(ChatRequest, PassesToolsUnlessTheyAreOff) {
  const std::string body =
      R"({"messages": [{"role": "user", "content": "x"}],
          "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": ")";
  EXPECT_TRUE(chat_request(body + "auto\"}").conversation.variables.contains("tools"));
  EXPECT_FALSE(chat_request(body + "none\"}").conversation.variables.contains("tools"));
}

TEST(ChatRequest, AllowsSomeToolsAndShowsAll) {
  const std::string body =
      R"({"messages": [{"role": "user", "content": "x"}],
          "tools": [{"type": "function", "function": {"name": "f"}},
                    {"type": "function", "function": {"name": "g"}}],
          "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "MODE", "tools": [
              {"type": "function", "function": {"name": "g"}}]}}})";
  for (const std::string mode : {"auto", "required"}) {
    std::string own = body;
    const Conversation conversation =
        chat_request(own.replace(own.find("MODE"), 4, mode)).conversation;
    EXPECT_EQ(conversation.variables.at("tools").as_array().size(), 2u);
    ASSERT_EQ(conversation.tools.tools.size(), 1u);
    EXPECT_EQ(conversation.tools.tools.front().name, "g");
    EXPECT_TRUE(conversation.tools.some_hidden);
    EXPECT_EQ(conversation.tools.must_call(), mode == "required");
  }
}

TEST(ChatRequest, RefusesByName) {
  const Refusal cases[] = {
      {R"("messages": null)", "messages"},
      {R"("messages": "hi")", "messages"},
      {R"("messages": [])", "messages"},
      {R"("messages": ["hi"])", "messages[0]"},
      {R"("messages": [{"content": "x"}])", "messages[0].role"},
      {R"("messages": [{"role": "robot", "content": "x"}])", "messages[0].role"},
      {R"("messages": [{"role": 1, "content": "x"}])", "messages[0].role"},
      {R"("messages": [{"role": "user"}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": 5}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": [{"type": "image_url"}]}])",
       "messages[0].content[0].type"},
      {R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
       "messages[0].content[0].text"},
      {R"("messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}])",
       "messages[0].content[0].text"},
      {R"("messages": [{"role": "assistant", "tool_calls": 1}])", "messages[0].tool_calls"},
      {R"("messages": [{"role": "assistant", "tool_calls": [{}]}])",
       "messages[0].tool_calls[0].function"},
      {R"("messages": [{"role": "assistant", "tool_calls":
          [{"function": {"name": "f", "arguments": "{"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"("tools": {})", "tools"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {R"("tools": [{"type": "browser"}])", "tools[0].type"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": "maybe")", "tool_choice"},
      {R"("tool_choice": {"type": "function", "function": {"name": "f"}})", "tool_choice"},
      {R"("tool_choice": {"type": "custom"})", "tool_choice.type"},
      {R"("tool_choice": {"type": "allowed_tools"})", "tool_choice.allowed_tools"},
      {R"("tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none"}})",
       "tool_choice.allowed_tools.mode"},
      {R"("tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}})",
       "tool_choice.allowed_tools.tools"},
      {R"("tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
              {"type": "function", "function": {"name": "f"}}]}})",
       "tool_choice"},
      {R"("functions": [{"name": "f"}])", "functions"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"name": "x"}})",
       "response_format.json_schema.schema"},
      {R"("response_format": "text")", "response_format"},
      {R"("top_logprobs": 5)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {R"("logprobs": 5)", "logprobs"},
      {R"("max_completion_tokens": 0)", "max_completion_tokens"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("chat_template_kwargs": [])", "chat_template_kwargs"},
      {R"("chat_template_kwargs": {"messages": []})", "chat_template_kwargs.messages"},
      {R"("chat_template": "{{ 1 }}")", "chat_template"},
      {R"("modalities": ["audio"])", "modalities"},
      {R"("continue_final_message": true, "add_generation_prompt": true)",
       "continue_final_message"},
  };
  for (const Refusal& refused : cases) {
    const bool has_messages = refused.fields.starts_with("\"messages\"");
    const std::string body =
        "{" +
        std::string(has_messages ? "" : R"("messages": [{"role": "user", "content": "x"}], )") +
        refused.fields + "}";
    const ApiError error = refusal(chat_request, body);
    EXPECT_EQ(error.status(), 400) << body;
    EXPECT_EQ(error.param(), refused.param) << body << ": " << error.what();
  }
}

TEST(ApiErrors, HaveOpenAIsShape) {
  EXPECT_EQ(error_body(ApiError(400, "n: must be \xff", "n")),
            "{\"error\":{\"message\":\"n: must be \uFFFD\",\"type\":\"invalid_request_error\","
            "\"param\":\"n\",\"code\":null}}");
}

}  // namespace
}  // namespace isotope::server
