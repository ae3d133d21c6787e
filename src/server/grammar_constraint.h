// A text's grammar as the engine's constraint on tokens.
#pragma once

#include <memory>
#include <vector>

#include "engine/token_constraint.h"
#include "text/grammar/compiled_grammar.h"

namespace isotope::server {

/// For one answer. `end_ids` may follow a complete text, when `end` says so.
std::shared_ptr<engine::TokenConstraint> constrain(
    std::shared_ptr<const text::CompiledGrammar> grammar, std::vector<TokenId> end_ids,
    text::GrammarEnd end);

}  // namespace isotope::server
