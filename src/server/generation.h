// One prompt to one text: the engine's token ids through the detokenizer and the stop strings. Used
// by the server's endpoints and by the commands run and chat.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/admission.h"
#include "server/answer_text.h"
#include "server/grammar_cache.h"
#include "server/request_stats.h"
#include "text/answer_syntax.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace isotope::server {

/// A loaded model with what turns text into tokens and back. Everything is safe to use from several
/// threads.
struct ServedModel {
  std::string name;                  ///< as requests call it
  std::vector<std::string> aliases;  ///< other names for it
  std::string root;                  ///< where it was loaded from
  std::unique_ptr<const text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<GrammarCache> grammars;
  /// generation_config.json's sampling defaults, used where a request says nothing.
  engine::SamplingParams default_sampling;
  text::AnswerDialect dialect;  ///< of its answers in conversations
  QueueLimits queue;
  std::unique_ptr<RequestStats> stats = std::make_unique<RequestStats>();
};

/// A generation under way. Not thread-safe; on_ready's callback excepted.
class Generation {
 public:
  /// Submits it. request.params is replaced by options.sampling. Errors: those of Engine::submit.
  Generation(ServedModel& model, engine::Request request, const GenerationOptions& options);
  /// Cancels it if it has not ended.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// What has come since the last call; empty pieces are possible. Stop strings are cut and end the
  /// generation.
  Piece take();
  /// As take(), after waiting until there is something to take.
  Piece wait();
  /// As Answer::on_ready: `callback` comes from the engine thread and must not block.
  void on_ready(std::function<void()> callback);
  /// The answer ends with FinishReason::cancelled, unless it ends otherwise before.
  void cancel();

  bool finished() const { return finish_.has_value(); }
  /// A stop string ends an answer with FinishReason::stop, as tokens do.
  engine::FinishReason finish_reason() const { return *finish_; }
  /// The stop string that ended it, or nullptr.
  const std::string* matched_stop() const { return text_.matched_stop(); }
  /// The id of the request's stop_token_ids that ended it; end-of-sequence does not count.
  std::optional<TokenId> matched_stop_token() const { return matched_stop_token_; }
  const std::string& error() const { return error_; }
  /// The answer has ended with complete tool calls, for GenerationOptions::format.
  bool called_tools() const;

  std::int64_t prompt_tokens() const { return prompt_tokens_; }
  std::int64_t completion_tokens() const { return text_.tokens(); }
  std::int64_t cached_tokens() const { return cached_tokens_; }
  /// Of the completion's tokens, those of reasoning.
  std::int64_t reasoning_tokens() const;
  /// Entry i belongs to prompt token i; the first is empty. Complete with the first token.
  const std::vector<engine::TokenLogprobs>& prompt_logprobs() const { return prompt_logprobs_; }
  /// Seconds from submit to the first token, 0 without one; mean seconds between tokens after it, 0
  /// with fewer than two.
  double ttft() const;
  double tpot() const;
  /// Seconds from submit to the first step for it, 0 before.
  double queue_time() const;

 private:
  Piece consume(engine::Progress progress);
  void note_end(engine::FinishReason reason) const;
  void note_stop_token(TokenId last);

  ServedModel* model_;
  AnswerText text_;
  std::vector<TokenId> stop_token_ids_;
  bool ignore_eos_;
  std::int64_t prompt_tokens_, max_tokens_, received_tokens_ = 0, cached_tokens_ = 0;
  engine::Engine::Ticket ticket_;
  std::optional<engine::FinishReason> finish_;
  std::optional<TokenId> matched_stop_token_;
  std::string error_;
  std::vector<engine::TokenLogprobs> prompt_logprobs_;
  engine::RequestTimes times_;
};

}  // namespace isotope::server
