// Requests of random tokens, as measurements send them straight to the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <random>

#include "engine/engine.h"

namespace isotope::cli {

/// Submits a greedy request of `input_len` random tokens, answered with exactly `output_len`.
engine::Engine::Ticket submit_random(engine::Engine& engine, std::mt19937_64& random,
                                     std::int64_t input_len, std::int64_t output_len);

/// Waits for the end of a request; `on_progress` sees all that comes. Errors: internal, with the
/// engine's reason.
engine::RequestTimes wait_for_end(
    const engine::Engine::Ticket& ticket,
    const std::function<void(const engine::Progress&)>& on_progress = {});

}  // namespace isotope::cli
