// What an answer in a conversation must be, as a grammar: reasoning first, then what the request
// demands of the answer proper, tool calls among it.
#pragma once

#include <memory>
#include <optional>

#include "server/generation.h"
#include "server/output_form.h"
#include "server/thinking.h"
#include "server/tools.h"
#include "text/grammar/compiled_grammar.h"

namespace isotope::server {

struct AnswerDemands {
  const text::AnswerFormat& format;
  const Thinking& thinking;
  const ToolUse& tools;
  const std::optional<OutputForm>& form;  ///< of the content
};

/// nullptr if any answer will do: no call is required, no function strict or hidden, and the
/// content has no form. Otherwise it may take seconds. Errors: ApiError 400 naming the field or the
/// tool whose schema cannot be obeyed; Error for a grammar beyond the limits.
std::shared_ptr<const text::CompiledGrammar> answer_grammar(const ServedModel& model,
                                                            const AnswerDemands& demands);

}  // namespace isotope::server
