// What a request says its answer must look like: response_format, structured_outputs, guided_….
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/request_fields.h"
#include "text/grammar/grammar.h"

namespace isotope::server {

struct AnswerFields;
struct ServedModel;

struct OutputForm {
  enum class Kind { json_object, json_schema, regex, choice, grammar };
  Kind kind = Kind::json_object;
  std::string text;  ///< the schema as JSON, the pattern, the grammar
  std::vector<std::string> choices;
  std::string field;  ///< which said so, for errors
};

/// nullopt: anything. Errors: ApiError 400 naming the field; also if several fields ask for
/// something.
std::optional<OutputForm> read_output_form(const RequestFields& fields);

/// The form as a part of a grammar. Errors: ApiError 400 naming the field, and the place within.
text::GrammarExpr add_output_form(text::GrammarBuilder& builder, const OutputForm& form);

/// Sets options.grammar for the form alone; answers in conversations have more in their grammars
/// (answer_grammar.h). Takes milliseconds to seconds for a form that is not in the model's cache.
/// Errors: as add_output_form.
void settle_output_form(const ServedModel& model, AnswerFields& answer);

}  // namespace isotope::server
