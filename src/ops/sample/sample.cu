// Logits [rows, vocab] to tokens. Two kernels: sample_scan looks at all logits, one warp a slice of 512, with as many blocks a
// row as there are slices; sample_choose merges what the slices found, one block a row, and does for the rows that ask for it
// what needs the whole row: penalties, cuts, logprobs. The logits of a step are in L2, where it reads them again.
#include "ops/gpu/portable.cuh"
#include "ops/sample/sample_params.h"
#include "ops/sample/sample_select.cuh"

namespace isotope::gpu {

using ops::SamplingRow;

ISOTOPE_DEVICE bool wants_logprobs(const SamplingRow& row) { return row.num_top_logprobs >= 0; }
ISOTOPE_DEVICE bool has_history(const SamplingRow& row) {
  const bool neutral = row.repetition_penalty == 1.0f && row.presence_penalty == 0.0f && row.frequency_penalty == 0.0f;
  return !neutral && (row.prompt_begin < row.prompt_end || row.output_begin < row.output_end);
}
/// Whether the logits change before a token is chosen.
ISOTOPE_DEVICE bool is_modified(const SamplingRow& row) {
  return row.forced_token < 0 && (has_history(row) || row.bias_begin < row.bias_end || row.mask >= 0);
}
ISOTOPE_DEVICE bool is_greedy(const SamplingRow& row) {
  return !(row.temperature >= ops::kMinTemperature) || row.top_k == 1;
}
ISOTOPE_DEVICE bool has_top_k(const SamplingRow& row, int limit) { return row.top_k > 0 && row.top_k < limit; }
/// Whether every token may be drawn, so that slices can compete before anything is known of the row.
ISOTOPE_DEVICE bool draws_from_all(const SamplingRow& row, int limit) {
  return !is_greedy(row) && !has_top_k(row, limit) && !(row.top_p < 1.0f) && !(row.min_p > 0.0f);
}
ISOTOPE_DEVICE Draw draw_of(const SamplingRow& row, float best) {
  return {best, row.temperature, 1.0f / row.temperature, row.seed, row.counter};
}

// ---- the scan

/// The likeliest token of a slice, by key and id.
ISOTOPE_DEVICE u64 best_of_slice(const RowView& row, int slice) {
  u64 best = 0;
  visit_slice(row, slice, [&](u32 key, int id) {
    const u64 item = item_of(key, id);
    best = item > best ? item : best;
  });
  return warp_reduce<Largest>(best);
}

/// Σ exp(logit - largest); infinite logits weigh 1 each.
ISOTOPE_DEVICE float sum_of_slice(const RowView& row, int slice, u32 largest) {
  const float top = value_of(largest);
  float sum = 0.0f;
  visit_slice(row, slice, [&](u32 key, int) {
    sum += key == largest ? 1.0f : key > kNone ? exp(value_of(key) - top) : 0.0f;
  });
  return largest > kNone ? warp_sum(sum) : 0.0f;
}

/// Shape: grid (slices / 4, rows), a warp a slice. Reads what the predecessor wrote.
KERNEL(sample_scan, SampleParams, kScanThreads) {
  release_successor();
  wait_for_predecessor();
  const int m = block_y(), slice = block_x() * (kScanThreads / kWarp) + warp_index();
  if (slice >= p.slices) return;
  const SamplingRow params = p.rows[m];
  const float* logits = p.logits + m * p.logits_stride;
  const i64 place = i64(m) * p.slices + slice;
  if (params.forced_token < 0 && !is_modified(params)) {
    const RowView row = row_view(logits, p.limit);
    const u64 best = best_of_slice(row, slice);
    if (lane_index() == 0) p.slice_best[place] = best;
    if (draws_from_all(params, p.limit)) {
      const Winner winner = draw_in_slice(row, slice, kKeepAll, draw_of(params, 0.0f), {0, -1});
      if (lane_index() == 0) p.slice_winners[place] = winner.id;
    }
  }
  if (wants_logprobs(params)) {
    const RowView row = row_view(logits, p.vocab);
    const u32 key = item_key(best_of_slice(row, slice));
    const float sum = sum_of_slice(row, slice, key);
    if (lane_index() == 0) {
      p.slice_keys[place] = key;
      p.slice_sums[place] = sum;
    }
  }
}

// ---- penalties and bias

/// Products and quotients in double, then rounded, are those of IEEE single precision whatever the compiler contracts.
ISOTOPE_DEVICE float penalized(const SamplingRow& row, float logit, bool in_output, u32 outputs) {
  const double wide = logit, penalty = row.repetition_penalty;
  logit = logit > 0 ? float(wide / penalty) : float(wide * penalty);
  if (!in_output) return logit;
  const float frequency = float(double(row.frequency_penalty) * double(float(outputs)));
  return logit - (row.presence_penalty + frequency);
}

/// Tokens of [begin, end) of a ragged array that fall into the counted ids: visit(index, id - first).
template <typename Visit>
ISOTOPE_DEVICE void visit_ids(const int* ids, int begin, int end, int first, int count, const Visit& visit) {
  for (int i = begin + thread_index(); i < end; i += kChooseThreads) {
    const u32 place = u32(ids[i]) - u32(first);
    if (ids[i] >= 0 && place < u32(count)) visit(i, place);
  }
}

/// Adds the values of one id in the order of the array. Ids that come once need no search.
ISOTOPE_DEVICE void apply_bias(const SampleParams& p, const SamplingRow& row, int entry, bool once, float* logit) {
  if (once) {
    *logit += p.bias_values[entry];
    return;
  }
  const int id = p.bias_ids[entry];
  float value = *logit;
  for (int i = row.bias_begin; i < row.bias_end; ++i) {
    if (p.bias_ids[i] != id) continue;
    if (i < entry) return;  // the first of the same does all
    value += p.bias_values[i];
  }
  *logit = value;
}

ISOTOPE_DEVICE void apply_mask(const SampleParams& p, const SamplingRow& row, float* logits) {
  const u32* mask = p.masks + i64(row.mask) * p.mask_words;
  for (int id = thread_index(); id < p.vocab; id += kChooseThreads)
    if (!(mask[id / 32] >> (id % 32) & 1)) logits[id] = -infinity();
}

/// In ranges of ids whose counts fit into shared memory. Prompts leave one bit, outputs are counted below it.
ISOTOPE_DEVICE void modify(const SampleParams& p, const Shared& s, const SamplingRow& row, float* logits) {
  constexpr u32 kInPrompt = 0x80000000u;
  u32* counts = reinterpret_cast<u32*>(s.arena);
  const bool history = has_history(row), bias = row.bias_begin < row.bias_end;
  for (int first = 0; first < p.vocab; first += kCountIds) {
    const int size = min(kCountIds, p.vocab - first);
    const auto clear = [&] {
      block_barrier();
      for (int i = thread_index(); i < size; i += kChooseThreads) counts[i] = 0;
      block_barrier();
    };
    if (history) {
      clear();
      visit_ids(p.history, row.prompt_begin, row.prompt_end, first, size, [&](int, u32 i) { counts[i] = kInPrompt; });
      block_barrier();
      visit_ids(p.history, row.output_begin, row.output_end, first, size, [&](int, u32 i) { atomic_add(counts + i, 1); });
      block_barrier();
      for (int i = thread_index(); i < size; i += kChooseThreads) {
        const u32 outputs = counts[i] & ~kInPrompt;
        if (counts[i]) logits[first + i] = penalized(row, logits[first + i], outputs > 0, outputs);
      }
    }
    if (bias) {
      clear();
      visit_ids(p.bias_ids, row.bias_begin, row.bias_end, first, size, [&](int, u32 i) { atomic_add(counts + i, 1); });
      block_barrier();
      visit_ids(p.bias_ids, row.bias_begin, row.bias_end, first, size,
                [&](int entry, u32 i) { apply_bias(p, row, entry, counts[i] == 1, logits + first + i); });
    }
  }
  block_barrier();
  if (row.mask >= 0) apply_mask(p, row, logits);
  block_barrier();
}

// ---- choosing

ISOTOPE_DEVICE Wish wish_for_top_p(const SampleParams& p, const SamplingRow& params, float best) {
  const double top_p = params.top_p > 0 ? double(params.top_p) : 0.0;
  // All tokens below this together have less than 1 - top_p of the likeliest token's mass, so the cut is above.
  const double reach = log64(double(p.limit) / (1.0 - top_p)) + 0.01;
  const float lowest = float(double(best) - reach * double(params.temperature));
  return {true, 0, key_of(bits_of(lowest)), best, 1.0f / params.temperature, p.mass_bits, top_p};
}
ISOTOPE_DEVICE Wish wish_for_count(int count) { return {false, count, 0, 0.0f, 0.0f, 0, 0.0}; }

/// The least logit that min_p keeps.
ISOTOPE_DEVICE u32 min_p_key(const SamplingRow& params, float best) {
  const double min_p = params.min_p < 1.0f ? double(params.min_p) : 1.0;
  const double least = double(best) + double(params.temperature) * log64(min_p);
  const u32 key = key_of(bits_of(float(least)));
  return double(value_of(key)) < least ? key + 1 : key;
}

ISOTOPE_DEVICE Winner better_of_block(const Shared& s, Winner mine) {
  mine = better_of_warp(mine);
  const u64 score = block_reduce<Largest>(mine.id < 0 ? 0 : mine.score, s.words);
  const u64 item = mine.id >= 0 && mine.score == score ? item_of(1, mine.id) : 0;
  return {score, item_id(block_reduce<Largest>(item, s.words))};
}

ISOTOPE_DEVICE int draw_in_row(const RowView& row, const Shared& s, Cut cut, const Draw& draw) {
  Winner winner{0, -1};
  for (int slice = warp_index(); slice < slices_of(row.size); slice += kWarps)
    if (s.slice_keys[slice] >= cut.key) winner = draw_in_slice(row, slice, cut, draw, winner);
  return better_of_block(s, winner).id;
}

/// One of the first `count` of sorted(), with top-p and min-p as the definition has them.
ISOTOPE_DEVICE int draw_in_list(const Shared& s, int count, const SamplingRow& params, const Draw& draw) {
  double* sum = sums(s);
  const bool top_p = params.top_p < 1.0f;
  if (top_p && warp_index() == 0) {
    double before = 0.0;
    for (int begin = 0; begin < count; begin += kWarp) {
      const int i = begin + lane_index();
      double weight = 0.0;
      if (i < count)
        weight = exp64((double(value_of(item_key(sorted(s)[i]))) - double(draw.best)) / double(draw.temperature));
      const double sum_here = double_of(warp_scan<DoubleSum>(bits_of_double(weight))) + before;
      if (i < count) sum[i] = sum_here;
      before = double_of(shuffle64(bits_of_double(sum_here), kWarp - 1));
    }
  }
  block_barrier();
  const double target = top_p ? double(params.top_p) * sum[count - 1] : 0.0;
  const u32 least = params.min_p > 0.0f ? min_p_key(params, draw.best) : 0;
  Winner winner{0, -1};
  for (int i = thread_index(); i < count; i += kChooseThreads) {
    const u64 item = sorted(s)[i];
    if (i > 0 && ((top_p && sum[i - 1] >= target) || item_key(item) < least)) continue;
    const int id = item_id(item);
    const u64 score = score_key(draw_score(value_of(item_key(item)), draw.best, draw.temperature,
                                           bits_of_token(draw.seed, draw.counter, id)));
    if (winner.id < 0 || beats(score, id, winner)) winner = {score, id};
  }
  return better_of_block(s, winner).id;
}

/// The best of the slices' winners, by the score that the host gives them.
ISOTOPE_DEVICE int merge_winners(const Shared& s, const RowView& row, const int* winners, int slices, const Draw& draw) {
  Winner best{0, -1};
  for (int slice = thread_index(); slice < slices; slice += kChooseThreads) {
    const int id = winners[slice];
    if (id < 0) continue;
    const u64 score = score_key(
        draw_score(row.values[id], draw.best, draw.temperature, bits_of_token(draw.seed, draw.counter, id)));
    if (best.id < 0 || beats(score, id, best)) best = {score, id};
  }
  return better_of_block(s, best).id;
}

/// The keys of slices, and the likeliest token of the row.
ISOTOPE_DEVICE u64 load_slices(const Shared& s, const SampleParams& p, int m, int slices) {
  u64 best = 0;
  for (int slice = thread_index(); slice < slices; slice += kChooseThreads) {
    const u64 item = p.slice_best[i64(m) * p.slices + slice];
    s.slice_keys[slice] = item_key(item);
    best = item > best ? item : best;
  }
  return block_reduce<Largest>(best, s.words);
}
ISOTOPE_DEVICE u64 scan_slices(const Shared& s, const RowView& row) {
  u64 best = 0;
  for (int slice = warp_index(); slice < slices_of(row.size); slice += kWarps) {
    const u64 item = best_of_slice(row, slice);
    if (lane_index() == 0) s.slice_keys[slice] = item_key(item);
    best = item > best ? item : best;
  }
  return block_reduce<Largest>(best, s.words);
}

// ---- logprobs of the unmodified logits

struct LogSoftmax {
  u32 best;
  double log_sum;
};
ISOTOPE_DEVICE float logprob_of(const LogSoftmax& softmax, u32 key) {
  if (key <= kNone) return -infinity();
  if (key == softmax.best) return float(-softmax.log_sum);
  return float(double(value_of(key)) - double(value_of(softmax.best)) - softmax.log_sum);
}

/// Also loads the keys of slices.
ISOTOPE_DEVICE LogSoftmax log_softmax(const SampleParams& p, const Shared& s, int m) {
  u64 top = 0;
  for (int slice = thread_index(); slice < p.slices; slice += kChooseThreads) {
    const u32 key = p.slice_keys[i64(m) * p.slices + slice];
    s.slice_keys[slice] = key;
    top = key > top ? key : top;
  }
  const u32 best = u32(block_reduce<Largest>(top, s.words));
  if (best <= kNone) return {best, 0.0};
  double sum = 0.0;
  for (int slice = thread_index(); slice < p.slices; slice += kChooseThreads) {
    const u32 key = s.slice_keys[slice];
    if (key <= kNone) continue;
    const double share = p.slice_sums[i64(m) * p.slices + slice];
    sum += key == best ? share
                       : share * exp64(double(value_of(key)) - double(value_of(best)));
  }
  return {best, log64(double_of(block_reduce<DoubleSum>(bits_of_double(sum), s.words)))};
}

ISOTOPE_DEVICE void write_top(const SampleParams& p, const Shared& s, const LogSoftmax& softmax, int m, int wanted, int count) {
  const int i = thread_index();
  if (i < wanted) {
    const u64 item = i < count ? sorted(s)[i] : item_of(kNone, -1);
    p.top_ids[m * p.top_ids_stride + i] = item_id(item);
    p.top_logprobs[m * p.top_logprobs_stride + i] = logprob_of(softmax, item_key(item));
  }
  block_barrier();
}

/// `logits` are the unmodified ones.
ISOTOPE_DEVICE void write_rank(const SampleParams& p, const Shared& s, const LogSoftmax& softmax, const float* logits, int m,
                               int token) {
  const RowView row = row_view(logits, p.vocab);
  const u32 key = token < p.vocab ? key_of(bits_of(logits[token])) : kNone;
  u64 larger = 0;
  for (int slice = warp_index(); slice < p.slices; slice += kWarps)
    if (p.slice_keys[i64(m) * p.slices + slice] > key)
      visit_slice(row, slice, [&](u32 other, int) { larger += other > key; });
  larger = block_reduce<Sum>(larger, s.words);
  if (thread_index() == 0) {
    p.ranks[m] = 1 + int(larger);
    p.logprobs[m] = logprob_of(softmax, key);
  }
}

ISOTOPE_DEVICE void copy_row(const float* from, float* to, int size) {
  for (int i = thread_index(); i < size; i += kChooseThreads) to[i] = from[i];
}

// ---- a row

/// What is being found out about a row.
struct Progress {
  int token;      ///< -1: still to be drawn
  u64 top;        ///< the likeliest token
  Cut cut;        ///< of what may be drawn
  int listed;     ///< so many in sorted(); -1: no list
  bool from_all;  ///< slices have competed already
};

/// Penalties, then the likeliest token, which is all that a greedy row asks for. Infinity leaves nothing to chance.
ISOTOPE_DEVICE void begin_choice(const SampleParams& p, const Shared& s, const SamplingRow& params, int m, float* copy,
                                 Progress& progress) {
  float* logits = p.logits + m * p.logits_stride;
  const bool modified = is_modified(params);
  if (modified) {
    if (wants_logprobs(params)) copy_row(logits, copy, p.vocab);
    modify(p, s, params, logits);
  }
  block_barrier();
  progress.top = modified ? scan_slices(s, row_view(logits, p.limit)) : load_slices(s, p, m, slices_of(p.limit));
  const u32 key = item_key(progress.top);
  if (key <= kNone)
    progress.token = 0;
  else if (is_greedy(params) || key == kInfinityKey)
    progress.token = item_id(progress.top);
  progress.from_all = !modified && draws_from_all(params, p.limit);
}

ISOTOPE_DEVICE int draw_token(const SampleParams& p, const Shared& s, const SamplingRow& params, int m, Progress progress) {
  const RowView row = row_view(p.logits + m * p.logits_stride, p.limit);
  const float best = value_of(item_key(progress.top));
  const Draw draw = draw_of(params, best);
  if (progress.from_all) return merge_winners(s, row, p.slice_winners + i64(m) * p.slices, slices_of(p.limit), draw);
  if (progress.listed >= 0) return draw_in_list(s, progress.listed, params, draw);
  if (params.min_p > 0.0f) {
    const u32 least = min_p_key(params, best);
    if (least > progress.cut.key) progress.cut = {least, kKeepAll.last};
  }
  return draw_in_row(row, s, progress.cut, draw);
}

/// Three selections are asked of a row at most, one after another and by the same code: the top logprobs, what top-k keeps, and
/// what top-p keeps of that.
ISOTOPE_DEVICE void sample_row(const SampleParams& p, const Shared& s, const SamplingRow& params, int m, float* copy) {
  enum Step { kTopLogprobs, kTopK, kTopP, kDone };
  float* logits = p.logits + m * p.logits_stride;
  const bool logprobs = wants_logprobs(params);
  LogSoftmax softmax{kNone, 0.0};
  Progress progress{params.forced_token, 0, kKeepAll, -1, false};
  const int wanted = min(params.num_top_logprobs, kSampleTop);
#pragma unroll 1
  for (int step = logprobs ? kTopLogprobs : kTopK; step < kDone; ++step) {
    int size = p.limit;
    Wish wish = wish_for_count(0);
    if (step == kTopLogprobs) {
      softmax = log_softmax(p, s, m);
      size = p.vocab;
      wish.count = softmax.best > kNone ? wanted : 0;
    } else if (step == kTopK) {
      if (progress.token < 0) begin_choice(p, s, params, m, copy, progress);
      if (progress.token >= 0 || progress.from_all) break;
      if (has_top_k(params, p.limit)) wish.count = params.top_k;
    } else if (progress.listed < 0 && params.top_p < 1.0f) {
      wish = wish_for_top_p(p, params, value_of(item_key(progress.top)));
    }
    Selected selected{progress.cut, step == kTopLogprobs ? 0 : progress.listed};
    if (wish.mass || wish.count > 0) selected = select_tokens(row_view(logits, size), s, progress.cut, wish);
    if (step == kTopLogprobs) {
      write_top(p, s, softmax, m, wanted, selected.listed);
    } else {
      progress.cut = selected.cut;
      progress.listed = selected.listed;
    }
  }
  if (progress.token < 0) progress.token = draw_token(p, s, params, m, progress);
  if (thread_index() == 0) p.tokens[m] = progress.token;
  if (logprobs) write_rank(p, s, softmax, is_modified(params) ? copy : logits, m, progress.token);
  block_barrier();
}

/// The row with ranges that lie within the ragged arrays, whatever was uploaded.
ISOTOPE_DEVICE SamplingRow checked(const SampleParams& p, int m) {
  SamplingRow row = p.rows[m];
  const auto clamp = [](int& begin, int& end, int size) {
    begin = max(begin, 0);
    end = min(end, size);
  };
  clamp(row.prompt_begin, row.prompt_end, p.history_size);
  clamp(row.output_begin, row.output_end, p.history_size);
  clamp(row.bias_begin, row.bias_end, p.bias_size);
  if (row.mask >= p.num_masks) row.mask = -1;
  return row;
}

/// Shape: a block a row; with copies_only a few blocks that go over the rows ≥ num_copies. Follows sample_scan.
KERNEL(sample_choose, SampleParams, kChooseThreads) {
  SHARED(u8, arena, kArenaBytes);
  SHARED(u32, slice_keys, kSampleMaxSlices);
  SHARED(u64, words, kWarps);
  SHARED(u64, found, 4);
  const Shared s{arena, slice_keys, words, found};
  release_successor();
  wait_for_predecessor();
  const bool taking_turns = p.copies_only;
#pragma unroll 1
  for (int m = block_x() + (taking_turns ? p.num_copies : 0); m < p.num_rows; m += taking_turns ? grid_x() : p.num_rows) {
    const SamplingRow params = checked(p, m);
    const bool copies = is_modified(params) && wants_logprobs(params);
    if (taking_turns == (copies && m >= p.num_copies)) sample_row(p, s, params, m, p.copies + i64(block_x()) * p.vocab);
  }
}

}  // namespace isotope::gpu
