// Cuts a step into tiles (a few rows of one sequence) and tiles into tasks (one group of heads and,
// for long contexts, one part of the keys); the kernels of attention_simd.h do the arithmetic.
#include <algorithm>
#include <cmath>
#include <span>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/attention_kernel.h"

namespace isotope::ops::cpu {
namespace {

/// Limit on the scratch for partial results of contexts that are split over threads. What does not
/// fit is computed part after part by one thread, with the same bits.
constexpr std::int64_t kMaxPartialFloats = std::int64_t(8) << 20;
/// A tile is split when one of its tasks would be more than this fraction of a thread's fair share.
constexpr std::int64_t kTasksPerThread = 4;
/// Kernels pad heads to at most a multiple of this.
constexpr std::int64_t kWidthMultiple = 64;

std::int64_t partial_floats(std::int64_t rows, std::int64_t heads, std::int64_t head_dim,
                            std::int64_t max_context) {
  const std::int64_t parts = ceil_div(max_context, std::int64_t(kPartKeys));
  const std::int64_t width = round_up(head_dim, kWidthMultiple) + 2;
  const std::int64_t per_row = checked_mul(heads * width, parts, "scratch of attention");
  return std::min(checked_mul(rows, per_row, "scratch of attention"), kMaxPartialFloats);
}

struct Tile {
  std::int32_t seq = 0;
  std::int32_t row = 0, rows = 0;
  std::int32_t parts = 0;  ///< of the row with the longest context; 0: idle, the output is zero
  std::int32_t span = 0;   ///< query heads of a task: some KV heads, or a piece of a large group
  std::int64_t first_task = 0;
  std::int64_t partials = -1;  ///< where its partial results begin; -1: not split
};

const AttentionKernel& kernel_for(device::Isa isa, DType kv_dtype) {
  if (isa >= device::Isa::avx512_bf16) return attention_kernel_avx512_bf16(kv_dtype);
  return isa == device::Isa::avx512 ? attention_kernel_avx512(kv_dtype)
                                    : attention_kernel_avx2(kv_dtype);
}

/// Buffers of one task, on its thread's stack; with heads of 128 it touches about 70 KiB.
struct Scratch {
  alignas(64) float q[kTileQueries * kMaxHeadDim];
  alignas(64) float scores[kTileQueries * kPartKeys];
  alignas(64) float values[2][kTileQueries * kMaxHeadDim];
  float max[2][kTileQueries], sum[2][kTileQueries];
  PartKeys keys;

  PartialView view(int i) { return {max[i], sum[i], values[i]}; }
};

class Step {
 public:
  Step(Context& context, const TensorView& q, const KvLayer& kv, std::int64_t block_size,
       const Batch& batch, const TensorView& out)
      : device_(static_cast<device::CpuDevice&>(context.device())),
        kernel_(kernel_for(device_.isa(), kv.k.dtype)),
        q_(q),
        out_(out),
        kv_(kv),
        batch_(batch),
        block_size_(block_size),
        kv_heads_(int(kv.k.shape[1])),
        group_(int(q.shape[1] / kv.k.shape[1])),
        dim_(int(q.shape[2])),
        width_(kernel_.stride(dim_)) {
    make_tiles(context.workspace());
    choose_spans();
    split_tiles(context.workspace());
  }

  void run() {
    ThreadPool& pool = device_.pool();
    pool.parallel_for(num_tasks_, [this](std::int64_t task, int) { run_task(task); });
    if (!any_split_) return;
    pool.parallel_for(std::int64_t(tiles_.size()), [this](std::int64_t i, int) {
      const Tile& tile = tiles_[std::size_t(i)];
      for (int span = 0; tile.partials >= 0 && span < spans(tile); ++span)
        merge_partials(tile, span);
    });
  }

 private:
  /// The heads of one task of a tile, kv_heads · group of them.
  struct Span {
    int kv_head, kv_heads;  ///< KV heads
    int head, group;        ///< first query head, and how many look at each KV head
  };
  int spans(const Tile& tile) const {
    return tile.span >= group_ ? ceil_div(kv_heads_, tile.span / group_)
                               : kv_heads_ * ceil_div(group_, tile.span);
  }
  Span span_of(const Tile& tile, int i) const {
    if (tile.span >= group_) {
      const int kv_heads = tile.span / group_, first = i * kv_heads;
      return {first, std::min(kv_heads, kv_heads_ - first), first * group_, group_};
    }
    const int pieces = ceil_div(group_, tile.span), kv_head = i / pieces,
              offset = i % pieces * tile.span;
    return {kv_head, 1, kv_head * group_ + offset, std::min(tile.span, group_ - offset)};
  }
  std::int32_t position(std::int64_t row) const {
    return batch_.positions.as<const std::int32_t>()[row];
  }
  std::int32_t context_len(std::int64_t seq) const {
    return batch_.context_lens.as<const std::int32_t>()[seq];
  }

  void make_tiles(Workspace& workspace);
  Tile make_tile(std::int64_t seq, std::int64_t begin, std::int64_t end) const;
  void choose_spans();
  void split_tiles(Workspace& workspace);
  PartialView partial(const Tile& tile, int span, std::int64_t part) const;
  void run_task(std::int64_t task) const;
  QueryBlock queries_of(const Tile& tile, const Span& span, std::int64_t part, const float* q,
                        int* counts) const;
  void find_keys(const Tile& tile, int kv_head, std::int64_t part, PartKeys& keys) const;
  void attend(const Tile& tile, const QueryBlock& block, int kv_head, std::int64_t part,
              Scratch& scratch, PartialView result) const;
  template <typename Body>
  void for_queries(const Tile& tile, const Span& span, Body&& body) const;
  void load_queries(const Tile& tile, const Span& span, float* q) const;
  void store(const Tile& tile, const Span& span, PartialView result) const;
  void store_zeros(const Tile& tile) const;
  void merge_partials(const Tile& tile, int span) const;

  device::CpuDevice& device_;
  const AttentionKernel& kernel_;
  const TensorView &q_, &out_;
  const KvLayer& kv_;
  const Batch& batch_;
  const std::int64_t block_size_;
  const int kv_heads_;
  const int group_;  ///< query heads of one KV head
  const int dim_, width_;
  std::span<Tile> tiles_;
  std::int64_t num_tasks_ = 0;
  bool any_split_ = false;
  float* partials_ = nullptr;
};

void Step::make_tiles(Workspace& workspace) {
  Tile* tiles = static_cast<Tile*>(workspace.take(std::size_t(batch_.rows.total) * sizeof(Tile)));
  std::size_t count = 0;
  const std::int64_t tile_rows = std::max(1, kTileQueries / group_);
  const std::int32_t* seq_begin = batch_.seq_begin.as<const std::int32_t>();
  for (std::int64_t seq = 0; seq < batch_.num_seqs; ++seq) {
    const std::int64_t begin = seq_begin[seq];
    ISOTOPE_ASSERT(begin >= 0 && begin <= seq_begin[seq + 1] &&
                   seq_begin[seq + 1] <= batch_.rows.total);
    // From the end: the last rows have most to do, and threads finish together if long tasks come
    // first.
    for (std::int64_t end = seq_begin[seq + 1]; end > begin;
         end -= std::min(tile_rows, end - begin)) {
      ISOTOPE_ASSERT(count < std::size_t(batch_.rows.total));
      tiles[count++] = make_tile(seq, std::max(begin, end - tile_rows), end);
    }
  }
  tiles_ = {tiles, count};
}

Tile Step::make_tile(std::int64_t seq, std::int64_t begin, std::int64_t end) const {
  Tile tile{
      .seq = std::int32_t(seq), .row = std::int32_t(begin), .rows = std::int32_t(end - begin)};
  if (context_len(seq) == 0) return tile;
  for (std::int64_t row = begin; row < end; ++row) {
    ISOTOPE_ASSERT(position(row) >= 0 && position(row) < context_len(seq));
    tile.parts = std::max(tile.parts, position(row) / kPartKeys + 1);
  }
  ISOTOPE_ASSERT(context_len(seq) <= batch_.block_tables.shape[1] * block_size_);
  return tile;
}

/// As many KV heads a task as its buffers hold, so that a token's heads are read in one stream
/// (single heads come at half the bandwidth), as long as that leaves enough tasks for the threads.
void Step::choose_spans() {
  const std::int64_t wanted =
      device_.pool().size() == 1 ? 1 : device_.pool().size() * kTasksPerThread;
  std::int64_t parts = 0;
  for (const Tile& tile : tiles_) parts += tile.parts;
  for (Tile& tile : tiles_) {
    if (tile.rows * group_ > kTileQueries) {
      tile.span = kTileQueries;  // one row of a large group
      continue;
    }
    int kv_heads = std::min(kv_heads_, kTileQueries / (tile.rows * group_));
    while (kv_heads > 1 && parts * ceil_div(kv_heads_, kv_heads) < wanted)
      kv_heads = ceil_div(kv_heads, 2);
    tile.span = kv_heads * group_;
  }
}

void Step::split_tiles(Workspace& workspace) {
  std::int64_t work = 0, longest = 0;
  for (const Tile& tile : tiles_) {
    work += std::int64_t(tile.parts) * tile.rows * q_.shape[1];
    longest = std::max(longest, std::int64_t(tile.parts) * kPartKeys);
  }
  const std::int64_t threads = device_.pool().size();
  const std::int64_t share = work / (threads * kTasksPerThread);
  std::int64_t budget =
      threads == 1 ? 0 : partial_floats(batch_.rows.total, q_.shape[1], dim_, longest);
  const std::int64_t capacity = budget;
  for (Tile& tile : tiles_) {
    const std::int64_t parts = tile.parts, floats = parts * tile.rows * q_.shape[1] * (width_ + 2);
    const bool split = parts > 1 && parts * tile.rows * tile.span > share && floats <= budget;
    tile.first_task = num_tasks_;
    num_tasks_ += spans(tile) * (split ? parts : 1);
    if (!split) continue;
    tile.partials = capacity - budget;
    budget -= floats;
    any_split_ = true;
  }
  if (any_split_)
    partials_ = static_cast<float*>(workspace.take(std::size_t(capacity - budget) * sizeof(float)));
}

/// Partial results lie [part][row and head of all spans].
PartialView Step::partial(const Tile& tile, int span, std::int64_t part) const {
  const Span heads = span_of(tile, span);
  const std::int64_t n = std::int64_t(tile.rows) * heads.kv_heads * heads.group;
  float* base = partials_ + tile.partials + part * tile.rows * q_.shape[1] * (width_ + 2) +
                std::int64_t(tile.rows) * heads.head * (width_ + 2);
  return {base + n * width_, base + n * (width_ + 1), base};
}

void Step::run_task(std::int64_t task) const {
  const auto after =
      std::upper_bound(tiles_.begin(), tiles_.end(), task,
                       [](std::int64_t t, const Tile& tile) { return t < tile.first_task; });
  const Tile& tile = *(after - 1);
  // Spans vary fastest: neighbours read neighbouring memory of the same tokens.
  const int index = int((task - tile.first_task) % spans(tile));
  const std::int64_t split_part = (task - tile.first_task) / spans(tile);
  if (tile.parts == 0) {
    if (index == 0) store_zeros(tile);
    return;
  }
  const Span span = span_of(tile, index);
  Scratch scratch;
  load_queries(tile, span, scratch.q);
  int counts[kTileQueries];
  const bool split = tile.partials >= 0;
  QueryBlock block = queries_of(tile, span, split ? split_part : 0, scratch.q, counts);
  if (split) {
    attend(tile, block, span.kv_head, split_part, scratch, partial(tile, index, split_part));
    return;
  }
  attend(tile, block, span.kv_head, 0, scratch, scratch.view(0));
  for (std::int64_t part = 1; part < tile.parts; ++part) {
    block = queries_of(tile, span, part, scratch.q, counts);
    attend(tile, block, span.kv_head, part, scratch, scratch.view(1));
    kernel_.merge(block, scratch.view(0), scratch.view(1));
  }
  store(tile, span, scratch.view(0));
}

/// Every query sees at least one key of part 0.
QueryBlock Step::queries_of(const Tile& tile, const Span& span, std::int64_t part, const float* q,
                            int* counts) const {
  for (int row = 0; row < tile.rows; ++row) {
    const std::int64_t seen = position(tile.row + row) + 1 - part * kPartKeys;
    std::fill_n(counts + row * span.group, span.group,
                int(std::clamp<std::int64_t>(seen, 0, kPartKeys)));
  }
  return {.q = q,
          .kv_heads = span.kv_heads,
          .queries = tile.rows * span.group,
          .counts = counts,
          .head_dim = dim_,
          .scale = 1.0f / std::sqrt(float(dim_))};
}

void Step::find_keys(const Tile& tile, int kv_head, std::int64_t part, PartKeys& keys) const {
  const std::int64_t num_blocks = kv_.k.shape[0] / block_size_;
  const std::int32_t* table = batch_.block_tables.row<const std::int32_t>(tile.seq);
  const std::int64_t element_bytes = std::int64_t(size_of(kv_.k.dtype));
  const std::byte* k = static_cast<const std::byte*>(kv_.k.data);
  const std::byte* v = static_cast<const std::byte*>(kv_.v.data);
  std::int64_t block = part * kPartKeys / block_size_, offset = part * kPartKeys % block_size_;
  for (int i = 0; i < keys.count; ++i) {
    ISOTOPE_ASSERT(table[block] >= 0 && table[block] < num_blocks);
    const std::int64_t head = (table[block] * block_size_ + offset) * kv_heads_ + kv_head;
    keys.k[i] = k + head * dim_ * element_bytes;
    keys.v[i] = v + head * dim_ * element_bytes;
    if (!kv_.k_scale.empty()) {
      keys.k_scale[i] = kv_.k_scale.as<const float>() + head;
      keys.v_scale[i] = kv_.v_scale.as<const float>() + head;
    }
    if (++offset == block_size_) offset = 0, ++block;
  }
}

void Step::attend(const Tile& tile, const QueryBlock& block, int kv_head, std::int64_t part,
                  Scratch& scratch, PartialView result) const {
  scratch.keys.count = *std::max_element(block.counts, block.counts + block.queries);
  find_keys(tile, kv_head, part, scratch.keys);
  kernel_.attend(block, scratch.keys, scratch.scores, result);
}

/// Calls body(query i, row, head) in the order of QueryBlock.
template <typename Body>
void Step::for_queries(const Tile& tile, const Span& span, Body&& body) const {
  std::int64_t i = 0;
  for (int kv_head = 0; kv_head < span.kv_heads; ++kv_head) {
    for (int row = 0; row < tile.rows; ++row) {
      for (int j = 0; j < span.group; ++j)
        body(i++, std::int64_t(tile.row + row), std::int64_t(span.head + kv_head * span.group + j));
    }
  }
}

void Step::load_queries(const Tile& tile, const Span& span, float* q) const {
  const std::byte* data = static_cast<const std::byte*>(q_.data);
  const std::int64_t element_bytes = std::int64_t(size_of(q_.dtype));
  for_queries(tile, span, [&](std::int64_t i, std::int64_t row, std::int64_t head) {
    kernel_.load_query(data + (row * q_.row_stride + head * dim_) * element_bytes, q_.dtype, dim_,
                       q + i * width_);
  });
}

void Step::store(const Tile& tile, const Span& span, PartialView result) const {
  std::byte* data = static_cast<std::byte*>(out_.data);
  const std::int64_t element_bytes = std::int64_t(size_of(out_.dtype));
  for_queries(tile, span, [&](std::int64_t i, std::int64_t row, std::int64_t head) {
    kernel_.store(result.values + i * width_, result.sum[i], dim_,
                  data + (row * out_.row_stride + head * dim_) * element_bytes, out_.dtype);
  });
}

void Step::store_zeros(const Tile& tile) const {
  const std::int64_t element_bytes = std::int64_t(size_of(out_.dtype));
  for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row)
    std::fill_n(static_cast<std::byte*>(out_.data) + row * out_.row_stride * element_bytes,
                out_.shape[1] * element_bytes, std::byte(0));
}

void Step::merge_partials(const Tile& tile, int span) const {
  const Span heads = span_of(tile, span);
  int counts[kTileQueries];
  for (std::int64_t part = 1; part < tile.parts; ++part) {
    const QueryBlock block = queries_of(tile, heads, part, nullptr, counts);
    kernel_.merge(block, partial(tile, span, 0), partial(tile, span, part));
  }
  store(tile, heads, partial(tile, span, 0));
}

}  // namespace

void attention_fast(Context& context, const TensorView& q, const KvLayer& kv,
                    std::int64_t block_size, const Batch& batch, const TensorView& out) {
  const Workspace::Scope scope(context.workspace());
  Step(context, q, kv, block_size, batch, out).run();
}

}  // namespace isotope::ops::cpu

namespace isotope::ops::cpu {

std::size_t attention_scratch(std::int64_t rows, std::int64_t num_heads, std::int64_t head_dim,
                              std::int64_t max_context) {
  constexpr std::int64_t kAlignment = 64;
  const std::int64_t tiles = round_up(rows * std::int64_t(sizeof(Tile)), kAlignment);
  const std::int64_t partials = partial_floats(rows, num_heads, head_dim, max_context) * 4;
  return std::size_t(tiles + round_up(partials, kAlignment));
}

}  // namespace isotope::ops::cpu
