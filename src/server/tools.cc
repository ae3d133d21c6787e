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
               "\"auto\", \"none\", \"required\", {\"type\": \"function\", ...} or {\"type\": "
               "\"allowed_tools\", ...}");
}

/// Of {"type": "function", "function": {"name": …}}
std::string name_in(const RequestFields& tool) {
  if (!tool.has("function")) tool.reject("function", "is missing");
  return RequestFields(*tool.find("function"), tool.path("function")).required_string("name");
}

/// Leaves of the tools those with these names. Errors: ApiError 400 for a name that none has.
void keep(const std::vector<std::string>& names, const RequestFields& fields, ToolUse& use) {
  const auto is_called = [](const std::string& name) {
    return [&name](const Tool& tool) { return tool.name == name; };
  };
  for (const std::string& name : names)
    if (std::none_of(use.tools.begin(), use.tools.end(), is_called(name)))
      fields.reject("tool_choice", fmt::format("no tool is called '{}'", name.substr(0, 200)));
  use.some_hidden = std::erase_if(use.tools, [&](const Tool& tool) {
                      return std::find(names.begin(), names.end(), tool.name) == names.end();
                    }) > 0;
}

/// {"mode": "auto" or "required", "tools": […]}: some of the tools, so that the prompt stays the
/// same (and in the cache) from turn to turn.
void read_allowed(const RequestFields& choice, const RequestFields& fields, ToolUse& use) {
  if (!choice.has("allowed_tools")) choice.reject("allowed_tools", "is missing");
  const RequestFields allowed(*choice.find("allowed_tools"), choice.path("allowed_tools"));
  const std::string mode = allowed.required_string("mode");
  if (mode != "auto" && mode != "required") allowed.wrong("mode", "\"auto\" or \"required\"");
  const json::array* tools = allowed.array("tools", kMaxTools);
  if (!tools || tools->empty()) allowed.reject("tools", "must name at least one tool");
  std::vector<std::string> names;
  for (const json::value& value : *tools) {
    const RequestFields tool(value, fmt::format("{}[{}]", allowed.path("tools"), names.size()));
    if (tool.string("type").value_or("function") != "function")
      tool.reject("type", "only \"function\" is supported");
    names.push_back(name_in(tool));
  }
  use.choice = mode == "auto" ? Choice::automatic : Choice::required;
  keep(names, fields, use);
}

void read_choice(const json::value& value, const RequestFields& fields, ToolUse& use) {
  if (value.is_string()) {
    use.choice = choice_called(value.get_string(), fields);
    return;
  }
  const RequestFields choice(value, fields.path("tool_choice"));
  const std::string type = choice.string("type").value_or("function");
  if (type == "allowed_tools") return read_allowed(choice, fields, use);
  if (type != "function") choice.wrong("type", "\"function\" or \"allowed_tools\"");
  use.choice = Choice::named;
  keep({name_in(choice)}, fields, use);
}

}  // namespace

ToolUse read_tools(const RequestFields& fields) {
  ToolUse use{.tools = read_list(fields),
              .parallel = fields.boolean("parallel_tool_calls").value_or(true)};
  if (const json::value* choice = fields.find("tool_choice")) read_choice(*choice, fields, use);
  if (use.must_call() && use.tools.empty())
    fields.reject("tool_choice", "needs tools; send \"tools\", or leave it out");
  if (use.choice == Choice::none) use.tools.clear();
  return use;
}

}  // namespace isotope::server
