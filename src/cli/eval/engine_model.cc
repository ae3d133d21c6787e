#include "cli/eval/engine_model.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "cli/finish_reason.h"

namespace isotope::cli {
namespace {

constexpr std::uint64_t kSeed = 1234;  // what the harness sends; greedy answers do not depend on it

/// Numbers of requests that have news, from the engine's thread to ours.
class ReadyQueue {
 public:
  void push(std::size_t number) {
    const std::lock_guard lock(mutex_);
    numbers_.push_back(number);
    changed_.notify_one();
  }
  std::size_t pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !numbers_.empty(); });
    const std::size_t number = numbers_.front();
    numbers_.pop_front();
    return number;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> numbers_;
};

struct Running {
  std::unique_ptr<server::Generation> generation;
  std::string text;
};

class EngineModel final : public EvaluatedModel {
 public:
  EngineModel(std::unique_ptr<server::ServedModel> model, json::object settings)
      : model_(std::move(model)), settings_(std::move(settings)) {}

  json::object describe() const override {
    json::object result = settings_;
    result["kv_cache_dtype"] = info().kv_dtype;
    result["device"] = info().device;
    return result;
  }

  std::int64_t max_model_len() const override { return info().max_model_len; }

  void complete(const std::vector<std::string>& prompts, const CompletionSettings& settings,
                const Completed& done) override {
    server::GenerationOptions options;
    options.sampling = model_->default_sampling;
    options.sampling.temperature = 0;
    options.sampling.max_tokens = settings.max_tokens;
    options.sampling.seed = kSeed;
    options.stop = settings.stop;
    run_all(
        prompts.size(), options, [&](std::size_t i) { return encode(prompts[i], true); },
        [&](std::size_t i, const Running& ended) {
          const server::Generation& generation = *ended.generation;
          done(i, {ended.text, std::string(finish_name(generation.finish_reason())),
                   generation.prompt_tokens(), generation.completion_tokens()});
        });
  }

  std::vector<TokenId> encode(const std::string& text, bool add_special_tokens) override {
    return model_->tokenizer->encode(text, {.add_special_tokens = add_special_tokens});
  }

  void score(const std::vector<std::vector<TokenId>>& sequences, const Scored& done) override {
    server::GenerationOptions options;
    options.sampling.temperature = 0;
    options.sampling.max_tokens = 0;
    options.sampling.prompt_logprobs = 0;
    run_all(
        sequences.size(), options, [&](std::size_t i) { return sequences[i]; },
        [&](std::size_t i, const Running& ended) {
          std::vector<double> logprobs;
          for (const engine::TokenLogprobs& token : ended.generation->prompt_logprobs())
            logprobs.push_back(token.logprob);
          ISOTOPE_ASSERT(logprobs.size() == sequences[i].size());
          done(i, logprobs);
        });
  }

 private:
  const engine::EngineInfo& info() const { return model_->engine->info(); }

  /// Requests 0…count-1, twice as many in flight as the engine runs, so that a place that becomes
  /// free is taken at once.
  void run_all(std::size_t count, const server::GenerationOptions& options,
               const std::function<std::vector<TokenId>(std::size_t)>& prompt,
               const std::function<void(std::size_t, const Running&)>& ended) {
    ReadyQueue ready;
    std::unordered_map<std::size_t, Running> running;
    std::size_t next = 0;
    const std::size_t in_flight = 2 * std::size_t(info().max_num_seqs);
    while (next < count || !running.empty()) {
      for (; next < count && running.size() < in_flight; ++next) {
        Running& started = running[next];
        started.generation = std::make_unique<server::Generation>(
            *model_, engine::Request{.id = std::to_string(next), .prompt = prompt(next)}, options);
        started.generation->on_ready([&ready, number = next] { ready.push(number); });
      }
      const auto found = running.find(ready.pop());
      if (found == running.end()) continue;  // what it told was taken already
      server::Generation& generation = *found->second.generation;
      found->second.text += generation.take().text;
      if (!generation.finished()) continue;
      if (generation.finish_reason() == engine::FinishReason::error)
        fail(ErrorCode::internal, "request {}: {}", found->first, generation.error());
      ended(found->first, found->second);
      running.erase(found);
    }
  }

  std::unique_ptr<server::ServedModel> model_;
  json::object settings_;
};

}  // namespace

std::unique_ptr<EvaluatedModel> open_engine_model(ModelFlags& flags) {
  constexpr std::string_view kDtypes[] = {"auto", "bf16", "f32"},
                             kHeads[] = {"auto", "bf16", "fp8"};
  json::object settings{{"model", std::filesystem::weakly_canonical(flags.engine.model).string()},
                        {"by", "engine"},
                        {"dtype", kDtypes[std::size_t(flags.engine.dtype)]},
                        {"lm_head_dtype", kHeads[std::size_t(flags.engine.head_dtype)]},
                        {"batch_invariant", flags.engine.batch_invariant}};
  return std::make_unique<EngineModel>(flags.load(), std::move(settings));
}

}  // namespace isotope::cli
