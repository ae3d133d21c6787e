// Grammars as llama.cpp (GBNF) and vLLM (EBNF of XGrammar) write them.
#pragma once

#include <string_view>

#include "text/grammar/grammar.h"

namespace isotope::text {

/// The texts of the rule `root`. Errors: invalid_argument with line and column.
GrammarExpr ebnf_grammar(GrammarBuilder& builder, std::string_view source);

}  // namespace isotope::text
