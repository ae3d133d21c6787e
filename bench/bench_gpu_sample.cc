// How fast a GPU samples: microseconds of one call for several rows of Qwen3's vocabulary, by what
// the rows ask for.
//
//   bench_gpu_sample [DEVICE] [ROWS...]    "cuda" and 1 8 64 128 by default
//
// Calls are replayed from a captured graph, so that the host's launches do not count. Times are the
// medians of several runs between events. Logits are normal with a standard deviation of 2.5, like
// a language model's, with a few likely tokens.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/gpu_bench.h"
#include "device/gpu.h"
#include "ops/gpu/kernel_library.h"
#include "ops/sample/sample.h"

namespace {

using namespace isotope;
using bench::median_us_of_graph;
using ops::SamplingRow;

constexpr std::int64_t kVocab = 151936, kHistory = 600;

struct Kind {
  const char* name;
  SamplingRow row;
  bool history = false;
};

std::vector<Kind> kinds() {
  return {{"greedy", {}},
          {"greedy, 5 logprobs", {.num_top_logprobs = 5}},
          {"greedy, penalties", {.presence_penalty = 0.5f, .frequency_penalty = 0.1f}, true},
          {"temperature 0.7", {.temperature = 0.7f}},
          {"top-k 20, top-p 0.95", {.temperature = 0.6f, .top_k = 20, .top_p = 0.95f}},
          {"top-k 200, top-p 0.95", {.temperature = 0.6f, .top_k = 200, .top_p = 0.95f}},
          {"top-p 0.95", {.temperature = 1.0f, .top_p = 0.95f}},
          {"top-p 0.95 of a flat row", {.temperature = 5.0f, .top_p = 0.95f}},
          {"min-p 0.05", {.temperature = 1.0f, .min_p = 0.05f}},
          {"all of it",
           {.temperature = 0.7f,
            .top_k = 50,
            .top_p = 0.9f,
            .min_p = 0.01f,
            .repetition_penalty = 1.1f,
            .num_top_logprobs = 20},
           true}};
}

std::vector<float> make_logits(std::int64_t rows) {
  std::vector<float> logits(std::size_t(rows * kVocab));
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  for (float& logit : logits) logit = normal(random);
  for (std::int64_t m = 0; m < rows; ++m)
    for (int i = 0; i < 8; ++i)
      logits[std::size_t(m * kVocab + std::int64_t(random() % kVocab))] = 16.0f - float(i);
  return logits;
}

class Bench {
 public:
  Bench(ops::Context& context, device::Gpu& gpu, std::int64_t rows)
      : context_(context), gpu_(gpu), rows_(rows) {
    logits_ = upload(make_logits(rows), "logits");
    std::vector<TokenId> history;
    for (std::int64_t i = 0; i < kHistory; ++i) history.push_back(TokenId(i * 7919 % kVocab));
    history_ = upload(history, "history");
    for (device::Buffer* buffer : {&tokens_, &logprobs_, &ranks_})
      *buffer = gpu.allocate(std::size_t(rows) * 4, "results");
    for (device::Buffer* buffer : {&top_ids_, &top_logprobs_})
      *buffer = gpu.allocate(std::size_t(rows * ops::kMaxTopLogprobs) * 4, "results");
  }

  /// Median microseconds of one call.
  double measure(const Kind& kind) {
    constexpr int kRuns = 8, kEach = 10;
    std::vector<SamplingRow> params(std::size_t(rows_), kind.row);
    for (std::size_t i = 0; i < params.size(); ++i) {
      params[i].counter = i;
      if (!kind.history) continue;
      params[i].prompt_end = params[i].output_begin = std::int32_t(kHistory / 2);
      params[i].output_end = std::int32_t(kHistory);
    }
    params_ = upload(params, "parameters");
    return median_us_of_graph(gpu_, kRuns,
                              [&] {
                                for (int i = 0; i < kEach; ++i) call();
                              }) /
           kEach;
  }

 private:
  template <typename T>
  device::Buffer upload(const std::vector<T>& values, const char* what) {
    device::Buffer buffer = gpu_.allocate(values.size() * sizeof(T), what);
    gpu_.stream().copy_to_device(buffer.data(), values.data(), buffer.size());
    gpu_.stream().synchronize();
    return buffer;
  }

  void call() {
    const Shape top{rows_, ops::kMaxTopLogprobs};
    ops::SampleBatch batch;
    batch.rows = TensorView(DType::u8, {rows_ * std::int64_t(sizeof(SamplingRow))}, params_.data());
    batch.history = TensorView(DType::i32, {kHistory}, history_.data());
    ops::sample(context_, TensorView(DType::f32, {rows_, kVocab}, logits_.data()), batch,
                {TensorView(DType::i32, {rows_}, tokens_.data()),
                 TensorView(DType::f32, {rows_}, logprobs_.data()),
                 TensorView(DType::i32, {rows_}, ranks_.data()),
                 TensorView(DType::i32, top, top_ids_.data()),
                 TensorView(DType::f32, top, top_logprobs_.data())});
  }

  ops::Context& context_;
  device::Gpu& gpu_;
  std::int64_t rows_;
  device::Buffer logits_, history_, params_, tokens_, logprobs_, ranks_, top_ids_, top_logprobs_;
};

void run(device::Gpu& gpu, const std::vector<std::int64_t>& all_rows) {
  fmt::print("{}: microseconds of a call, {} tokens\n{:26}", gpu.name(), kVocab, "rows");
  for (const std::int64_t rows : all_rows) fmt::print("{:>9}", rows);
  const std::int64_t most = *std::max_element(all_rows.begin(), all_rows.end());
  ops::Context context(gpu, ops::sample_scratch(most, kVocab));
  std::vector<std::unique_ptr<Bench>> benches;
  for (const std::int64_t rows : all_rows)
    benches.push_back(std::make_unique<Bench>(context, gpu, rows));
  for (const Kind& kind : kinds()) {
    fmt::print("\n{:26}", kind.name);
    for (const auto& bench : benches) fmt::print("{:9.1f}", bench->measure(kind));
  }
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_on_gpu(argc > 1 ? argv[1] : "cuda", [&](device::Gpu& gpu) {
    run(gpu, bench::counts_from(argc, argv, 2, {1, 8, 64, 128}));
  });
}
