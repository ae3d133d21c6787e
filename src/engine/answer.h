// The engine's end of the queue between its thread and a consumer (Answer is the other end).
#pragma once

#include <memory>

#include "engine/request.h"

namespace isotope::engine {

/// Copies share one queue.
class AnswerWriter {
 public:
  AnswerWriter();

  std::shared_ptr<Answer> answer() const;
  /// Adds the tokens and prompt logprobs of `delta`, takes over everything else, and wakes the
  /// consumer. Its callback runs inside this call, on the calling thread.
  void write(Progress delta);

 private:
  std::shared_ptr<Answer::State> state_;
};

}  // namespace isotope::engine
