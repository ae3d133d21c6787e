#include "server/thinking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace isotope::server {

Thinking read_thinking(const RequestFields& fields) {
  constexpr std::array kEfforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  Thinking thinking;
  thinking.effort = fields.string("reasoning_effort");
  if (thinking.effort &&
      std::find(kEfforts.begin(), kEfforts.end(), *thinking.effort) == kEfforts.end())
    fields.wrong("reasoning_effort", fmt::format("one of {}", fmt::join(kEfforts, ", ")));
  if (thinking.effort) thinking.enabled = *thinking.effort != "none";
  if (const json::value* arguments = fields.find("chat_template_kwargs"))
    if (const auto enabled = RequestFields(*arguments, fields.path("chat_template_kwargs"))
                                 .boolean("enable_thinking"))
      thinking.enabled = enabled;
  if (const auto enabled = fields.boolean("enable_thinking")) thinking.enabled = enabled;
  for (const std::string_view name : {"thinking_token_budget", "thinking_budget"})
    if (const auto budget = fields.integer(name, 0, INT32_MAX)) thinking.budget = budget;
  if (thinking.budget == 0) thinking.enabled = false;
  thinking.show = fields.boolean("include_reasoning").value_or(true);
  return thinking;
}

void tell_template(const Thinking& thinking, json::object& variables) {
  if (thinking.enabled) variables["enable_thinking"] = *thinking.enabled;
  if (thinking.effort && !variables.contains("reasoning_effort"))
    variables["reasoning_effort"] = *thinking.effort;
}

}  // namespace isotope::server
