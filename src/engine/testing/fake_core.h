// For tests: the engine's core on the fake model, requests to it, and what its answers must be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "engine/engine_core.h"
#include "engine/memory_plan.h"
#include "engine/testing/fake_model.h"

namespace isotope::engine::testing {

using Tokens = std::vector<TokenId>;

struct CoreSetup {
  std::int64_t max_rows = 32, max_seqs = 8, num_blocks = 256, max_model_len = 512;
  bool prefix_caching = true;
  Tokens eos_ids;
  std::uint64_t seed = 0;
  std::function<void(const ops::Rows&)> on_step;
  SchedulingPolicy policy = SchedulingPolicy::fcfs;
};

inline std::unique_ptr<EngineCore> make_core(const CoreSetup& setup) {
  auto model = std::make_unique<FakeModel>();
  model->on_step = setup.on_step;
  CoreOptions options;
  options.limits = step_limits(setup.max_rows, setup.max_seqs, setup.max_model_len);
  options.workspace_bytes = ops::sample_scratch(options.limits.max_logits, FakeModel::kVocab);
  options.kv = {1, setup.num_blocks, 8, 1, 4, DType::bf16};
  options.max_model_len = setup.max_model_len;
  options.max_num_seqs = setup.max_seqs;
  options.prefix_caching = setup.prefix_caching;
  options.seed = setup.seed;
  options.eos_ids = setup.eos_ids;
  options.policy = setup.policy;
  return std::make_unique<EngineCore>(device::open_device("cpu", 1), std::move(model), options);
}

inline Request greedy(Tokens prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.params.temperature = 0;
  request.params.max_tokens = max_tokens;
  return request;
}

inline Tokens random_tokens(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Tokens tokens(count);
  for (TokenId& token : tokens) token = TokenId(random() % FakeModel::kVocab);
  return tokens;
}

/// An answer as its consumer has seen it at the end.
struct Whole {
  std::vector<TokenOutput> outputs;
  Progress last;
  std::vector<TokenLogprobs> prompt_logprobs;

  Tokens tokens() const {
    Tokens ids;
    for (const TokenOutput& output : outputs) ids.push_back(output.id);
    return ids;
  }
};

inline Whole read(const Engine::Ticket& ticket) {
  Whole whole;
  do {
    whole.last = ticket.answer->wait();
    whole.outputs.insert(whole.outputs.end(), whole.last.tokens.begin(), whole.last.tokens.end());
    if (!whole.last.prompt_logprobs.empty()) {
      EXPECT_TRUE(whole.prompt_logprobs.empty()) << "prompt logprobs came twice";
      whole.prompt_logprobs = whole.last.prompt_logprobs;
    }
  } while (!whole.last.finished);
  return whole;
}

inline TokenId argmax(const std::vector<float>& logits) {
  return TokenId(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// What greedy decoding must give, from the fake model's definition.
inline Tokens expected_greedy(const Tokens& prompt, std::int64_t count, const Tokens& stops = {}) {
  Tokens output;
  while (std::int64_t(output.size()) < count) {
    output.push_back(argmax(fake_logits(prompt, output)));
    if (std::count(stops.begin(), stops.end(), output.back())) break;
  }
  return output;
}

}  // namespace isotope::engine::testing
