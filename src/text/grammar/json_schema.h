// JSON and JSON Schema as grammars. docs/structured-output.md says which keywords are served.
#pragma once

#include "base/json.h"
#include "text/grammar/grammar.h"

namespace isotope::text {

/// Any JSON value; any object.
GrammarExpr any_json(GrammarBuilder& builder);
GrammarExpr any_json_object(GrammarBuilder& builder);

/// JSON texts that `schema` (an object or a boolean) accepts: those that name nothing beyond it,
/// with members in its order. Errors: invalid_argument for a broken schema, unsupported for
/// keywords that are not served; both begin with the place ("#/properties/age: ").
GrammarExpr json_schema(GrammarBuilder& builder, const json::value& schema);

}  // namespace isotope::text
