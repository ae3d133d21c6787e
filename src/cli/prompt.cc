#include "cli/prompt.h"

#include <boost/json/array.hpp>

#include "base/error.h"

namespace isotope::cli {

json::object message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

std::vector<TokenId> chat_prompt(const server::ServedModel& model, const json::array& messages,
                                 bool enable_thinking) {
  if (!model.chat_template)
    fail(ErrorCode::unsupported,
         "{} has no chat template; give one with --chat-template FILE, or use `run --raw`",
         model.name);
  const text::Tokenizer& tokenizer = *model.tokenizer;
  json::object variables{{"messages", messages},
                         {"add_generation_prompt", true},
                         {"enable_thinking", enable_thinking}};
  if (const auto bos = tokenizer.bos_id()) variables["bos_token"] = tokenizer.token_text(*bos);
  if (const auto eos = tokenizer.eos_id()) variables["eos_token"] = tokenizer.token_text(*eos);
  return tokenizer.encode(model.chat_template->render(variables), {});
}

}  // namespace isotope::cli
