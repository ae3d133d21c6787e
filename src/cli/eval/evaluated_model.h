// What an evaluation asks of a model: texts continued greedily and log-likelihoods of tokens, many
// at a time; by the engine in this process, or by a server.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/tensor.h"

namespace CLI {
class App;
}

namespace isotope::cli {

struct Completion {
  std::string text, finish_reason;
  std::int64_t prompt_tokens = 0, completion_tokens = 0;
};

struct CompletionSettings {
  std::int64_t max_tokens = 256;
  std::vector<std::string> stop;
};

class EvaluatedModel {
 public:
  virtual ~EvaluatedModel() = default;

  /// The model and what decides its answers, for the record.
  virtual json::object describe() const = 0;
  /// Prompt and answer together; 0 if it is not known.
  virtual std::int64_t max_model_len() const = 0;

  /// Tells `done` each prompt's number and its completion as they end, on the calling thread.
  using Completed = std::function<void(std::size_t, const Completion&)>;
  virtual void complete(const std::vector<std::string>& prompts, const CompletionSettings& settings,
                        const Completed& done) = 0;

  virtual std::vector<TokenId> encode(const std::string& text, bool add_special_tokens) = 0;
  /// Tells `done` each sequence's number and the natural logarithms of its tokens' probabilities
  /// after those before them (the first entry means nothing).
  using Scored = std::function<void(std::size_t, std::span<const double>)>;
  virtual void score(const std::vector<std::vector<TokenId>>& sequences, const Scored& done) = 0;
};

/// The flags that say which model is evaluated: an engine's, or a server's URL.
struct EvaluatedModelFlags;
std::shared_ptr<EvaluatedModelFlags> add_evaluated_model_flags(CLI::App& command);
/// Loads it, or connects. Errors: invalid_argument unless there is exactly one of the two.
std::unique_ptr<EvaluatedModel> open_evaluated_model(EvaluatedModelFlags& flags);

}  // namespace isotope::cli
