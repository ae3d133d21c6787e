// The functions that a request offers to the model, and whether it must call them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/request_fields.h"

namespace isotope::server {

constexpr std::size_t kMaxTools = 1024;

struct Tool {
  std::string path;  ///< in the request, of its parameters
  std::string name;
  json::object parameters;  ///< a JSON schema; empty: no parameters
  bool strict = false;      ///< arguments must satisfy it
};

struct ToolUse {
  enum class Choice { automatic, none, required, named };
  Choice choice = Choice::automatic;
  std::vector<Tool> tools;   ///< that may be called; named: only this one; none: empty
  bool some_hidden = false;  ///< the model is shown others, too, which it may not call
  bool parallel = true;      ///< several calls in one answer

  bool must_call() const { return choice == Choice::required || choice == Choice::named; }
};

/// tools, tool_choice and parallel_tool_calls. Errors: ApiError 400 naming the field.
ToolUse read_tools(const RequestFields& fields);

}  // namespace isotope::server
