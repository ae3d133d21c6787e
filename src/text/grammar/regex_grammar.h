// Regular expressions as grammars: the part of the syntax on which Python, ECMAScript and PCRE
// agree and that describes a regular language.
#pragma once

#include <functional>
#include <string_view>

#include "text/grammar/grammar.h"

namespace isotope::text {

enum class RegexMatch {
  whole,     ///< the pattern describes the whole text
  anywhere,  ///< the text contains a match
};

/// How a character of the described text is written in the answer.
using WriteCharacter = std::function<GrammarExpr(GrammarBuilder&, const CodePoints&)>;

/// Errors: invalid_argument for a broken pattern, unsupported for look-around, back references and
/// the like; both with the position.
GrammarExpr regex_grammar(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
                          const WriteCharacter& write = {});

}  // namespace isotope::text
