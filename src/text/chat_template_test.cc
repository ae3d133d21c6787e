// Chat templates of released models against what transformers makes of them, and hostile templates
// against the limits.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <chrono>
#include <ctime>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer_fixtures.h"

namespace isotope::text {
namespace {

std::filesystem::path data(std::string_view name) {
  return std::filesystem::path(ISOTOPE_TEST_DATA) / name;
}

/// One conversation with its variables, as the files of chat-vectors hold them.
json::object variables_of(const json::object& shared, const json::object& entry) {
  json::object variables = shared;
  for (const auto& [name, value] : entry) {
    if (name != "name" && name != "text" && name != "ids" && name != "error")
      variables[name] = value;
  }
  return variables;
}

struct VectorFile {
  const char* name;
  const char* tokenizer;
};

class ChatVectors : public testing::TestWithParam<VectorFile> {};

TEST_P(ChatVectors, TextAndTokensMatchTransformers) {
  const json::value document =
      parse_json_file(data("chat-vectors") / (std::string(GetParam().name) + ".json"));
  const std::string file = text_of(document.at("template"));
  const ChatTemplate chat = ChatTemplate::parse(read_file(data("chat-templates") / file), file);
  const auto tokenizer = Tokenizer::load(unpacked_fixture(GetParam().tokenizer));
  const json::array& cases = document.at("cases").as_array();
  ASSERT_GE(cases.size(), 20u);
  for (const json::value& entry : cases) {
    SCOPED_TRACE(text_of(entry.at("name")));
    const json::object variables =
        variables_of(document.at("variables").as_object(), entry.as_object());
    if (const json::value* raised = entry.as_object().if_contains("error")) {
      try {
        ADD_FAILURE() << "expected an error, got " << chat.render(variables);
      } catch (const Error& error) {
        EXPECT_EQ(error.what(), text_of(*raised));
        EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      }
      continue;
    }
    const std::string text = chat.render(variables);
    EXPECT_EQ(text, text_of(entry.at("text")));
    EXPECT_EQ(tokenizer->encode(text, EncodeOptions{}), token_ids(entry.at("ids")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, ChatVectors,
    testing::Values(VectorFile{"qwen3-2025-04", "qwen3"}, VectorFile{"qwen3-2025-07", "qwen3"},
                    VectorFile{"ministral3-instruct-8b", "ministral3-hf"},
                    VectorFile{"ministral3-reasoning", "ministral3-hf"},
                    VectorFile{"ministral3-reasoning-later", "ministral3-hf"},
                    VectorFile{"mistral-common-v13_image", "ministral3-tekken"},
                    VectorFile{"mistral-common-v13_image_think", "ministral3-tekken"}),
    [](const auto& test) {
      std::string name = test.param.name;
      for (char& c : name) c = c == '-' ? '_' : c;
      return name;
    });

// mistral-common's own expectation for a conversation with thinking and tools. (Its second case
// reorders tool results, which no template does.)
TEST(ChatTemplate, MatchesMistralCommonsOwnTest) {
  const json::value document =
      parse_json_file(data("chat-vectors") / "mistral-common-v13-tests.json");
  const json::object& first = document.at("cases").as_array()[0].as_object();
  for (const char* file :
       {"chat_template-Reasoning-2512.jinja", "chat_template-Reasoning-2512-later.jinja",
        "mistral-common-v13_image_think.jinja"}) {
    const auto chat =
        ChatTemplate::parse(read_file(data("chat-templates/ministral3") / file), file);
    const json::object tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    EXPECT_EQ(chat.render(variables_of(tokens, first)), text_of(first.at("text"))) << file;
  }
}

TEST(ChatTemplate, RendersSmolLM2) {
  const auto chat = ChatTemplate::load(data("chat-templates/smollm2"));
  ASSERT_TRUE(chat);
  const json::object variables = {
      {"messages", json::array{json::object{{"role", "user"}, {"content", "Hi"}}}},
      {"add_generation_prompt", true}};
  EXPECT_EQ(chat->render(variables),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

// ---- Where a model keeps its template

class ModelFolder {
 public:
  explicit ModelFolder(const std::string& name)
      : path_(std::filesystem::path(testing::TempDir()) / ("chat_template_" + name)) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& content) const {
    std::ofstream(path_ / file) << content;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string loaded_text(const ModelFolder& folder) {
  const auto chat = ChatTemplate::load(folder.path());
  return chat ? chat->render({}) : "none";
}

TEST(ChatTemplate, IsFoundWhereModelsKeepIt) {
  const ModelFolder folder("load");
  EXPECT_EQ(loaded_text(folder), "none");
  folder.write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(loaded_text(folder), "none");
  folder.write("tokenizer_config.json", R"({"chat_template": "a {{ 1 + 1 }}"})");
  EXPECT_EQ(loaded_text(folder), "a 2");
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                            {"name": "default", "template": "d"}]})");
  EXPECT_EQ(loaded_text(folder), "d");
  folder.write("chat_template.jinja", "file");
  EXPECT_EQ(loaded_text(folder), "file");
}

TEST(ChatTemplate, RefusesAConfigOfTheWrongType) {
  const ModelFolder folder("wrong");
  for (const char* config : {R"({"chat_template": 5})", R"({"chat_template": [5]})",
                             R"({"chat_template": [{"name": "default", "template": 5}]})", "{"}) {
    folder.write("tokenizer_config.json", config);
    try {
      ChatTemplate::load(folder.path());
      ADD_FAILURE() << config;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_data);
      EXPECT_NE(std::string(error.what()).find("tokenizer_config.json"), std::string::npos)
          << error.what();
    }
  }
}

// ---- Errors

struct Failure {
  ErrorCode code;
  std::string message;
};

std::optional<Failure> failure_of(const std::string& source, const json::object& variables = {},
                                  const TemplateLimits& limits = {}) {
  try {
    ChatTemplate::parse(source, "model/chat_template.jinja", limits).render(variables);
    return std::nullopt;
  } catch (const Error& error) {
    return Failure{error.code(), error.what()};
  }
}

TEST(ChatTemplate, SaysWhereATemplateIsMalformed) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n\n{% if x %}\nb", "line 4: the template ends, but 'endif' is missing"},
      {"a\n{{ x + }}", "line 2: expected an expression, but the tag ends"},
      {"{% for x of y %}", "line 1: expected 'in', found 'of'"},
      {"\n{% include 'x' %}", "line 2: the tag 'include' is not supported in a chat template"},
      {"{% extends 'x' %}", "line 1: the tag 'extends' is not supported in a chat template"},
      {"{% import 'x' as y %}", "line 1: the tag 'import' is not supported in a chat template"},
      {"{% nonsense %}", "line 1: unknown tag 'nonsense'"},
      {"{{ 'abc }}", "line 1: the string that begins here has no end"},
      {"{{ 99999999999999999999 }}", "is not an integer of at most 63 bits"},
      {"{{ '\\ud800' }}", "is not a character"},
      {"\xff", "the template is not valid UTF-8"},
  };
  for (const auto& [source, expected] : cases) {
    const auto failure = failure_of(source);
    ASSERT_TRUE(failure) << source;
    EXPECT_EQ(failure->code, ErrorCode::corrupt_data) << failure->message;
    EXPECT_EQ(failure->message.rfind("model/chat_template.jinja, line ", 0), 0u)
        << failure->message;
    EXPECT_NE(failure->message.find(expected), std::string::npos) << failure->message;
  }
}

TEST(ChatTemplate, SaysWhereRenderingFails) {
  const std::pair<const char*, const char*> cases[] = {
      {"\n{{ messages[0].role }}", "line 2: 'messages' is undefined"},
      {"{{ x.role.name }}", "line 1: 'dict object' has no attribute 'role'"},
      {"{% if true %}\n\n{{ 1 + 'a' }}{% endif %}", "line 3: '+' does not work on 'int' and 'str'"},
      {"{{ x|nope }}", "line 1: there is no filter named 'nope'"},
      {"{{ x is nope }}", "line 1: there is no test named 'nope'"},
      {"{{ l.append(1) }}", "'list object' cannot be changed, so 'append' is refused"},
      {"{{ 9223372036854775807 + 1 }}", "does not fit 64 bits"},
      {"{% set ns = namespace() %}{% set ns.a = 1 %}{{ namespace(__a=1) }}", "underscore"},
      {"{{ ''.__class__.__mro__ }}", "has no attribute '__class__'"},
      {"{{ strftime_now('%9999999d') }}", "is no date format"},
  };
  for (const auto& [source, expected] : cases) {
    const auto failure = failure_of(source, {{"x", json::object{}}, {"l", json::array{}}});
    ASSERT_TRUE(failure) << source;
    EXPECT_EQ(failure->code, ErrorCode::invalid_argument) << failure->message;
    EXPECT_NE(failure->message.find(expected), std::string::npos) << failure->message;
  }
}

TEST(ChatTemplate, RaisesTheTemplatesOwnWords) {
  const auto failure = failure_of("\n{{ raise_exception('Only ' + 'users.') }}");
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->message, "Only users.");
  EXPECT_EQ(failure->code, ErrorCode::invalid_argument);
}

TEST(ChatTemplate, KnowsTheDate) {
  const auto chat = ChatTemplate::parse("{{ strftime_now('%d %b %Y%Z') }}", "date");
  const auto date = [] {
    const std::time_t now = std::time(nullptr);
    char text[64];
    std::strftime(text, sizeof text, "%d %b %Y", std::localtime(&now));
    return std::string(text);
  };
  const std::string before = date();
  const std::string rendered = chat.render({});
  EXPECT_TRUE(rendered == before || rendered == date()) << rendered;
}

// ---- Limits

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(ChatTemplate, StopsHostileTemplates) {
  const std::string loop = "{% for i in range(100000) %}";
  const std::pair<std::string, const char*> cases[] = {
      {loop + loop + "x{% endfor %}{% endfor %}", "steps"},
      {loop + loop + "{% endfor %}{% endfor %}", "steps"},
      {"{{ 'a' * 10**9 }}", "16777216 bytes"},
      {"{{ 'a' * 10**18 * 10 }}", "bytes"},
      {"{{ [1] * 10**9 }}", "elements"},
      {"{{ [[]] * 9223372036854775807 }}", "elements"},
      {"{{ range(10**12) }}", "exceed the limit of 100000"},
      {"{{ range(-9223372036854775807, 9223372036854775807) }}", "exceed the limit of 100000"},
      {"{{ '%1000000000d' % 1 }}", "bytes"},
      {"{{ '%*d' % (10**12, 1) }}", "bytes"},
      {"{{ '{:>1000000000}'.format(1) }}", "bytes"},
      {"{{ '%.1000f' % 1.5 }}", "precision"},
      {"{{ 'a'.center(10**15) }}", "bytes"},
      {"{{ 'a'.zfill(10**15) }}", "bytes"},
      {"{{ 'a\nb'|indent(10**15) }}", "bytes"},
      {"{{ [1]|tojson(indent=10**15) }}", "bytes"},
      {"{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}", "bytes"},
      {"{{ ('a' * 10**7).replace('', 'b' * 10**7) }}", "bytes"},
      {"{{ ('a' * 10**6)|list|join('b' * 10**6) }}", "bytes"},
      {"{{ ('a' * 16 * 10**6).split('a') }}", "elements"},
      {"{{ ('a' * 16 * 10**6)|list }}", "elements"},
      {"{% set ns = namespace(x='a') %}" + loop + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
       "bytes"},
      {"{% set ns = namespace(x=[1]) %}" + loop + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
       "memory limit"},
      {"{% set ns = namespace(x=[]) %}" + loop + "{% set ns.x = [ns.x] %}{% endfor %}",
       "nested more than 200 deep"},
      {"{% set ns = namespace(x={}) %}" + loop + "{% set ns.x = {'a': ns.x} %}{% endfor %}",
       "nested more than 200 deep"},
      // Small to store, endless to print: every level holds the one below twice.
      {"{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% "
       "endfor %}"
       "{{ ns.x }}",
       "limit"},
      {"{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% "
       "endfor %}"
       "{{ ns.x|tojson }}",
       "limit"},
      {"{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] "
       "%}"
       "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
       "steps"},
      {"{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "too deep"},
      {"{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns }}", "limit"},
      {"{% set ns = namespace(x=[]) %}" + loop +
           "{% set ns.x = ns.x + ['a' * 1000000] %}{% endfor %}",
       "memory limit"},
      {loop + "{% set x = namespace(a=range(1000)|list) %}{% endfor %}", "memory limit"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deep"},
      {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
       "too deep"},
      {"{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
       "too deep"},
      {"{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "too deep"},
      {"{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
       "steps"},
      {"{% set x = [0] %}{% for i in x recursive %}{{ loop(x) }}{% endfor %}", "too deep"},
      {"{% macro m() %}" + repeated("x", 100000) + "{{ m() }}{% endmacro %}" + loop +
           "{{ m() }}{% endfor %}",
       "too deep"},
      {loop + repeated("x", 1000) + "{% endfor %}", "bytes"},
      {"{% for i in range(99999) %}{{ ('a' * 1000000) in ('b' * 1000000) }}{% endfor %}", "steps"},
      {"{% for i in range(99999) %}{{ ('a' * 1000000).strip('b' * 1000) }}{% endfor %}", "steps"},
      // A needle that makes naive searching take the product of both lengths.
      {"{% set h = 'a' * 4000000 %}{% set n = 'a' * 2000000 + 'b' %}{% for i in range(1000) %}"
       "{{ h.count(n) }}{{ h.rfind(n) }}{% endfor %}",
       "steps"},
  };
  for (const auto& [source, expected] : cases) {
    const auto begin = std::chrono::steady_clock::now();
    const auto failure = failure_of(source);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const std::string shown = source.substr(0, 200);
    ASSERT_TRUE(failure) << shown;
    EXPECT_NE(failure->message.find(expected), std::string::npos)
        << shown << ": " << failure->message;
    EXPECT_EQ(failure->code, ErrorCode::invalid_argument) << failure->message;
    // Far above what it takes, for sanitizers and busy machines.
    EXPECT_LT(seconds.count(), 60) << shown;
  }
}

TEST(ChatTemplate, StopsDeepNesting) {
  const std::string deep[] = {
      "{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}",
      "{{ " + repeated("[", 100000) + repeated("]", 100000) + " }}",
      "{{ " + repeated("{1:", 100000) + "1" + repeated("}", 100000) + " }}",
      "{{ " + repeated("not ", 100000) + "1 }}",
      "{{ " + repeated("-", 100000) + "1 }}",
      "{{ " + repeated("x[", 100000) + repeated("]", 100000) + " }}",
      "{{ " + repeated("x(", 100000) + repeated(")", 100000) + " }}",
      "{{ " + repeated("1 if 1 else ", 80000) + "1 }}",
      "{{ x is " + repeated("in(x is ", 100000) + "odd" + repeated(")", 100000) + " }}",
      repeated("{% if 1 %}", 80000),
      repeated("{% for x in y %}", 60000),
      "{% set " + repeated("(", 100000) + "a" + repeated(")", 100000) + " = 1 %}",
  };
  for (const std::string& source : deep) {
    const auto failure = failure_of(source);
    ASSERT_TRUE(failure) << source.substr(0, 40);
    EXPECT_NE(failure->message.find("nested more than 100 deep"), std::string::npos)
        << failure->message;
  }
}

// Long is not deep: chains of operators, filters and branches of any length are fine.
TEST(ChatTemplate, TakesLongChains) {
  const auto render = [](const std::string& source) {
    return ChatTemplate::parse(source, "long").render({});
  };
  EXPECT_EQ(render("{{ 1" + repeated(" + 1", 20000) + " }}"), "20001");
  EXPECT_EQ(render("{{ 'a'" + repeated(" ~ 'a'", 1000) + " }}"), repeated("a", 1001));
  EXPECT_EQ(render("{{ 'a'" + repeated("|upper|lower", 10000) + " }}"), "a");
  EXPECT_EQ(render("{{ 'a'" + repeated(".upper().lower()", 10000) + " }}"), "a");
  EXPECT_EQ(render("{{ 0" + repeated(" or 0", 10000) + " or 7 }}"), "7");
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}a", 10000) + "{% else %}b{% endif %}"),
            "b");
}

TEST(ChatTemplate, HonoursTheLimitsGiven) {
  TemplateLimits limits;
  limits.steps = 50;
  EXPECT_TRUE(failure_of("{% for i in range(100) %}{% endfor %}", {}, limits));
  EXPECT_FALSE(failure_of("{% for i in range(3) %}{% endfor %}", {}, limits));
  limits = {};
  limits.output_bytes = 10;
  EXPECT_TRUE(failure_of("{{ 'a' * 11 }}", {}, limits));
  EXPECT_TRUE(failure_of("12345678901", {}, limits));
  EXPECT_FALSE(failure_of("1234567890", {}, limits));
  limits = {};
  limits.depth = 20;
  const std::string recurse =
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(count) }}";
  EXPECT_FALSE(failure_of(recurse, {{"count", 10}}, limits));
  EXPECT_TRUE(failure_of(recurse, {{"count", 100}}, limits));
}

// ---- Mutations of real templates: whatever happens, it is a text or an Error.

std::vector<std::string> real_templates() {
  std::vector<std::string> sources;
  for (const char* folder : {"qwen3", "ministral3", "smollm2"}) {
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::directory_iterator(data("chat-templates") / folder))
      files.push_back(file.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) sources.push_back(read_file(file));
  }
  return sources;
}

std::string mutated(std::string text, const std::vector<std::string>& others,
                    std::mt19937& random) {
  const auto below = [&](std::size_t bound) { return bound ? random() % bound : 0; };
  static const char* const kPieces[] = {
      "{%", "%}",  "{{", "}}", "{#",      "#}",      "-",    "'",    "(",     ")",
      "[",  "]",   "|",  ".",  "not",     "in",      "for",  "if",   "endif", "endfor",
      "is", "set", "=",  ",",  "0",       "-1",      "99",   "loop", "**",    "%",
      "{",  "}",   ":",  "\\", "|tojson", "|length", "\xC3", "\n"};
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    const std::size_t at = below(text.size()), length = below(30);
    switch (below(5)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 2:
        if (!text.empty()) text[at] = char(below(256));
        break;
      case 3:
        text.insert(at, text.substr(below(text.size()), length));
        break;
      default: {
        const std::string& other = others[below(others.size())];
        text.replace(at, std::min(length, text.size() - at),
                     other.substr(below(other.size()), below(60)));
      }
    }
  }
  return text;
}

TEST(ChatTemplate, SurvivesMutations) {
  const json::value document = parse_json_file(data("chat-vectors") / "qwen3-2025-04.json");
  const json::array& cases = document.at("cases").as_array();
  const json::object tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  const std::vector<std::string> sources = real_templates();
  TemplateLimits limits;
  limits.steps = 200'000;
  std::mt19937 random(20250731);
  int rendered = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string source = mutated(sources[random() % sources.size()], sources, random);
    const json::object& entry = cases[random() % cases.size()].as_object();
    if (failure_of(source, variables_of(tokens, entry), limits))
      ++refused;
    else
      ++rendered;
  }
  // Mutations that all fail, or none, would test little.
  EXPECT_GT(rendered, 300);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace isotope::text
