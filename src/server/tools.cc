#include "server/tools.h"

#include <algorithm>
#include <utility>

#include "text/tool_call_reader.h"

namespace isotope::server {
namespace {

Tool read_tool(const json::value& value, std::string path) {
  const RequestFields tool(value, std::move(path));
  if (tool.string("type").value_or("") != "function")
    tool.reject("type", "only \"function\" is supported");
  if (!tool.has("function")) tool.reject("function", "is missing");
  const RequestFields function(*tool.find("function"), tool.path("function"));
  const std::string name = function.required_string("name");
  if (!text::is_function_name(name))
    function.wrong("name", fmt::format("1 to {} characters other than white space, quotes, commas "
                                       "and brackets",
                                       text::kMaxFunctionName));
  Tool result{.path = function.path("parameters"),
              .name = name,
              .strict = function.boolean("strict").value_or(false)};
  if (const json::value* parameters = function.find("parameters"))
    result.parameters = RequestFields(*parameters, function.path("parameters")).object();
  return result;
}

std::vector<Tool> read_list(const RequestFields& fields) {
  std::vector<Tool> tools;
  const json::array* values = fields.array("tools", kMaxTools);
  if (!values) return tools;
  for (const json::value& value : *values)
    tools.push_back(read_tool(value, fmt::format("{}[{}]", fields.path("tools"), tools.size())));
  return tools;
}

using Choice = ToolUse::Choice;

Choice choice_called(std::string_view word, const RequestFields& fields) {
  constexpr std::pair<std::string_view, Choice> kWords[] = {
      {"auto", Choice::automatic}, {"none", Choice::none}, {"required", Choice::required}};
  for (const auto& [name, choice] : kWords)
    if (name == word) return choice;
  fields.wrong("tool_choice",
               "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"function\": "
               "{\"name\": ...}}");
}

/// {"type": "function", "function": {"name": …}}
std::string named_choice(const json::value& value, const RequestFields& fields) {
  const RequestFields choice(value, fields.path("tool_choice"));
  if (choice.string("type").value_or("function") != "function")
    choice.reject("type", "only \"function\" is supported; to allow some tools, send only these");
  if (!choice.has("function")) choice.reject("function", "is missing");
  const RequestFields function(*choice.find("function"), choice.path("function"));
  return function.required_string("name");
}

}  // namespace

ToolUse read_tools(const RequestFields& fields) {
  ToolUse use{.tools = read_list(fields),
              .parallel = fields.boolean("parallel_tool_calls").value_or(true)};
  const json::value* choice = fields.find("tool_choice");
  if (!choice) return use;
  if (choice->is_string()) {
    use.choice = choice_called(choice->get_string(), fields);
  } else {
    use.choice = Choice::named;
    const std::string name = named_choice(*choice, fields);
    std::erase_if(use.tools, [&](const Tool& tool) { return tool.name != name; });
    if (use.tools.empty())
      fields.reject("tool_choice", fmt::format("no tool is called '{}'", name.substr(0, 200)));
  }
  if (use.must_call() && use.tools.empty())
    fields.reject("tool_choice", "needs tools; send \"tools\", or leave it out");
  if (use.choice == Choice::none) use.tools.clear();
  return use;
}

}  // namespace isotope::server
