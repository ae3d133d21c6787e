#include "server/output_form.h"

#include <boost/json/serialize.hpp>
#include <utility>

#include "server/answer_fields.h"
#include "server/api_error.h"
#include "text/grammar/ebnf_grammar.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/regex_grammar.h"

namespace isotope::server {
namespace {

using Kind = OutputForm::Kind;

constexpr std::size_t kMaxFormBytes = std::size_t(256) << 10;
constexpr std::size_t kMaxStringChoices = 4096;

/// One field that may hold a form, read if it is there.
class FormReader {
 public:
  explicit FormReader(const RequestFields& fields) : fields_(fields) {}

  void read_response_format() {
    const json::value* value = fields_.find("response_format");
    if (!value) return;
    const RequestFields format(*value, fields_.path("response_format"));
    const std::string type = format.string("type").value_or("text");
    if (type == "json_object")
      return put(fields_, "response_format", {Kind::json_object, {}, {}, {}});
    if (type == "text") return;
    if (type != "json_schema") format.wrong("type", "\"text\", \"json_object\" or \"json_schema\"");
    if (!format.has("json_schema")) format.reject("json_schema", "is missing");
    const RequestFields described(*format.find("json_schema"), format.path("json_schema"));
    described.boolean("strict");  // answers keep to the schema either way
    if (!described.has("schema")) described.reject("schema", "is missing");
    read_schema(described, "schema");
  }

  /// vLLM's names: `prefix` is "guided_" where they stand in the request itself.
  void read_structured(const RequestFields& from, const std::string& prefix) {
    read_schema(from, prefix + "json");
    read_text(from, prefix + "regex", Kind::regex);
    read_text(from, prefix + "grammar", Kind::grammar);
    read_choice(from, prefix + "choice");
    if (from.boolean(prefix + "json_object").value_or(false))
      put(from, prefix + "json_object", {Kind::json_object, {}, {}, {}});
  }

  std::optional<OutputForm> result() && { return std::move(form_); }

 private:
  void put(const RequestFields& from, const std::string& field, OutputForm form) {
    form.field = from.path(field);
    if (form_) from.reject(field, fmt::format("cannot be combined with {}", form_->field));
    if (form.text.size() > kMaxFormBytes)
      from.reject(field, fmt::format("has {} bytes; at most {} are allowed", form.text.size(),
                                     kMaxFormBytes));
    form_ = std::move(form);
  }

  /// A schema, or as some clients send it, its JSON in a string.
  void read_schema(const RequestFields& from, const std::string& field) {
    const json::value* value = from.find(field);
    if (!value) return;
    if (value->is_string())
      return put(from, field, {Kind::json_schema, std::string(value->get_string()), {}, {}});
    if (!value->is_object() && !value->is_bool()) from.wrong(field, "a JSON schema");
    put(from, field, {Kind::json_schema, json::serialize(*value), {}, {}});
  }

  void read_text(const RequestFields& from, const std::string& field, Kind kind) {
    if (auto text = from.string(field)) put(from, field, {kind, std::move(*text), {}, {}});
  }

  void read_choice(const RequestFields& from, const std::string& field) {
    const json::array* values = from.array(field, kMaxStringChoices);
    if (!values) return;
    if (values->empty()) from.reject(field, "is an empty list");
    OutputForm form{Kind::choice, json::serialize(*values), {}, {}};
    for (const json::value& value : *values) {
      if (!value.is_string()) from.wrong(field, "a list of strings");
      form.choices.emplace_back(value.get_string());
    }
    put(from, field, std::move(form));
  }

  const RequestFields& fields_;
  std::optional<OutputForm> form_;
};

text::GrammarExpr build(text::GrammarBuilder& builder, const OutputForm& form) {
  switch (form.kind) {
    case Kind::json_object:
      return text::any_json_object(builder);
    case Kind::json_schema:
      return text::json_schema(builder, parse_json(form.text, "the schema"));
    case Kind::regex:
      return text::regex_grammar(builder, form.text, text::RegexMatch::whole);
    case Kind::choice:
      return builder.choice(form.choices);
    case Kind::grammar:
      return text::ebnf_grammar(builder, form.text);
  }
  assertion_failed("known output form", __FILE__, __LINE__);
}

[[noreturn]] void blame(const OutputForm& form, const Error& error) {
  throw ApiError(400, fmt::format("{}: {}", form.field, error.what()), form.field);
}

}  // namespace

std::optional<OutputForm> read_output_form(const RequestFields& fields) {
  FormReader reader(fields);
  reader.read_response_format();
  reader.read_structured(fields, "guided_");
  if (const json::value* value = fields.find("structured_outputs")) {
    const RequestFields structured(*value, fields.path("structured_outputs"));
    for (const std::string_view name : {"structural_tag", "whitespace_pattern"})
      structured.refuse(name, "is not supported by this server; leave it out");
    reader.read_structured(structured, "");
  }
  return std::move(reader).result();
}

text::GrammarExpr add_output_form(text::GrammarBuilder& builder, const OutputForm& form) {
  try {
    return build(builder, form);
  } catch (const Error& error) {
    blame(form, error);
  }
}

void settle_output_form(const ServedModel& model, AnswerFields& answer) {
  if (!answer.form) return;
  const OutputForm& form = *answer.form;
  try {
    answer.options.grammar =
        model.grammars->get(fmt::format("form {} {}", int(form.kind), form.text), [&] {
          text::GrammarBuilder builder;
          const text::GrammarExpr root = add_output_form(builder, form);
          return builder.finish(root);
        });
  } catch (const Error& error) {
    blame(form, error);
  }
}

}  // namespace isotope::server
