#include "engine/step_batch.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"

namespace isotope::engine {

void StepBatch::clear() {
  for (auto* array : {&token_ids, &positions, &row_seq, &seq_begin, &context_lens, &block_tables,
                      &logit_rows, &history, &bias_ids})
    array->clear();
  slots.clear();
  uses.clear();
  sampling.clear();
  bias_values.clear();
  constrained.clear();
}

void StepBatch::fill(const Step& step, std::int64_t block_size) {
  clear();
  table_width = 1;
  for (const Chunk& chunk : step.chunks)
    table_width = std::max(table_width, ceil_div(chunk.begin + chunk.count, block_size));
  seq_begin.push_back(0);
  for (const Chunk& chunk : step.chunks) {
    add_logits(chunk);  // before the rows: it numbers them from here
    add_rows(chunk, block_size);
  }
}

void StepBatch::pad(std::int64_t rows) {
  if (seq_begin.empty()) seq_begin.push_back(0);
  for (auto row = std::int32_t(token_ids.size()); row < rows; ++row) {
    token_ids.push_back(-1);
    positions.push_back(0);
    slots.push_back(-1);
    row_seq.push_back(std::int32_t(context_lens.size()));
    context_lens.push_back(0);
    seq_begin.push_back(row + 1);
    logit_rows.push_back(row);
  }
}

void StepBatch::add_rows(const Chunk& chunk, std::int64_t block_size) {
  const Sequence& sequence = *chunk.sequence;
  const auto seq = std::int32_t(context_lens.size());
  const std::int64_t end = chunk.begin + chunk.count;
  for (std::int64_t p = chunk.begin; p < end; ++p) {
    token_ids.push_back(sequence.tokens()[std::size_t(p)]);
    positions.push_back(std::int32_t(p));
    slots.push_back(sequence.blocks()[std::size_t(p / block_size)] * block_size + p % block_size);
    row_seq.push_back(seq);
  }
  seq_begin.push_back(std::int32_t(token_ids.size()));
  context_lens.push_back(std::int32_t(end));
  const auto used = sequence.blocks().begin();
  block_tables.insert(block_tables.end(), used, used + ceil_div(end, block_size));
  block_tables.resize(context_lens.size() * std::size_t(table_width));
}

void StepBatch::add_logits(const Chunk& chunk) {
  Sequence& sequence = *chunk.sequence;
  const SamplingParams& params = sequence.params();
  const auto first_row = std::int64_t(token_ids.size());
  for (std::int64_t p = chunk.begin; p < chunk.begin + chunk.count; ++p) {
    const bool samples = sequence.wants_sample(p);
    if (!samples && !sequence.wants_prompt_logprob(p)) continue;
    logit_rows.push_back(std::int32_t(first_row + p - chunk.begin));
    if (samples) {
      uses.push_back({&sequence, p, true, params.logprobs.value_or(-1)});
      add_sampling(sequence);
    } else {
      uses.push_back({&sequence, p, false, params.prompt_logprobs.value_or(-1)});
      ops::SamplingRow row;
      row.forced_token = sequence.tokens()[std::size_t(p + 1)];
      sampling.push_back(row);
    }
    sampling.back().num_top_logprobs = uses.back().num_top;
  }
}

void StepBatch::add_sampling(Sequence& sequence) {
  const SamplingParams& params = sequence.params();
  ops::SamplingRow row;
  row.temperature = params.temperature;
  row.top_k = std::max(params.top_k, 0);
  row.top_p = params.top_p;
  row.min_p = params.min_p;
  row.repetition_penalty = params.repetition_penalty;
  row.presence_penalty = params.presence_penalty;
  row.frequency_penalty = params.frequency_penalty;
  row.seed = sequence.seed();
  row.counter = std::uint64_t(sequence.num_output());
  if (params.repetition_penalty != 1 || params.presence_penalty != 0 ||
      params.frequency_penalty != 0) {
    const auto& tokens = sequence.tokens();
    row.prompt_begin = std::int32_t(history.size());
    history.insert(history.end(), tokens.begin(), tokens.end());
    row.prompt_end = row.output_begin = row.prompt_begin + std::int32_t(sequence.num_prompt());
    row.output_end = std::int32_t(history.size());
  }
  row.bias_begin = std::int32_t(bias_ids.size());
  for (const auto& [id, bias] : params.logit_bias) {
    bias_ids.push_back(id);
    bias_values.push_back(bias);
  }
  if (sequence.constraint()) {
    row.mask = std::int32_t(constrained.size());  // which leaves out what is banned, if it can
    constrained.push_back(&sequence);
  } else {
    for (const TokenId id : sequence.banned()) {
      bias_ids.push_back(id);
      bias_values.push_back(-std::numeric_limits<float>::infinity());
    }
  }
  row.bias_end = std::int32_t(bias_ids.size());
  sampling.push_back(row);
}

}  // namespace isotope::engine
