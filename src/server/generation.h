// One prompt to one text: the engine's token ids through the detokenizer and the stop strings. Used by the server's endpoints and by
// the commands run and chat.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/stop_strings.h"
#include "text/tokenizer.h"

namespace isotope::server {

/// A loaded model with what turns text into tokens and back. Everything is safe to use from several threads.
struct ServedModel {
  std::string name;  ///< as requests call it
  std::unique_ptr<const text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::unique_ptr<engine::Engine> engine;
  /// generation_config.json's sampling defaults, used where a request says nothing.
  engine::SamplingParams default_sampling;
};

struct GenerationOptions {
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  bool include_stop_text = false;
  bool skip_special_tokens = true;
};

/// What one piece of an answer adds.
struct Piece {
  std::string text;
  /// Tokens with their logprobs that this piece covers, and where in the text each begins (bytes).
  std::vector<engine::TokenOutput> tokens;
  std::vector<std::size_t> text_offsets;
};

/// A generation under way. Not thread-safe; on_ready's callback excepted.
class Generation {
 public:
  Generation(ServedModel& model, engine::Request request, const GenerationOptions& options);
  /// Cancels it if it has not ended.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// What has come since the last call; empty pieces are possible. Stop strings are cut and end the generation.
  Piece take();
  Piece wait();
  void on_ready(std::function<void()> callback);
  void cancel();

  bool finished() const { return finish_.has_value(); }
  /// "stop" (end-of-sequence, stop token or stop string), "length", "cancelled", "error".
  engine::FinishReason finish_reason() const { return *finish_; }
  /// The stop string or stop token id that ended it, if one did (vLLM's stop_reason).
  const std::optional<std::string>& matched_stop() const { return matched_stop_; }
  const std::string& error() const { return error_; }

  std::int64_t prompt_tokens() const { return prompt_tokens_; }
  std::int64_t completion_tokens() const { return completion_tokens_; }
  std::int64_t cached_tokens() const { return cached_tokens_; }
  const std::vector<engine::TokenLogprobs>& prompt_logprobs() const { return prompt_logprobs_; }
  /// Seconds from submit to the first token; mean seconds between tokens after it (0 with fewer than two).
  double ttft() const;
  double tpot() const;

 private:
  Piece consume(engine::Progress progress);

  ServedModel* model_;
  engine::Engine::Ticket ticket_;
  text::Detokenizer detokenizer_;
  text::StopStrings stops_;
  std::optional<engine::FinishReason> finish_;
  std::optional<std::string> matched_stop_;
  std::string error_;
  std::int64_t prompt_tokens_ = 0, completion_tokens_ = 0, cached_tokens_ = 0;
  std::size_t text_bytes_ = 0;
  std::vector<engine::TokenLogprobs> prompt_logprobs_;
  engine::RequestTimes times_;
};

}  // namespace isotope::server
