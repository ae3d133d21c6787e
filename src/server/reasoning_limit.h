// Ends reasoning that has gone on for long enough.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/token_constraint.h"
#include "text/answer_syntax.h"

namespace isotope::server {

/// For one answer of this format: once reasoning has `budget` tokens, its closing marker is forced.
/// Otherwise what `inner` says, or anything if that is null. `tokenizer` must outlive it.
std::shared_ptr<engine::TokenConstraint> limit_reasoning(
    const text::Tokenizer& tokenizer, const text::AnswerFormat& format, std::int64_t budget,
    std::shared_ptr<engine::TokenConstraint> inner);

}  // namespace isotope::server
