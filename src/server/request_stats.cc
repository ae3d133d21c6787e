#include "server/request_stats.h"

#include <chrono>

namespace isotope::server {
namespace {

EndKind kind_of(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop:
    case engine::FinishReason::complete:
      return EndKind::stop;
    case engine::FinishReason::length:
      return EndKind::length;
    case engine::FinishReason::error:
      return EndKind::error;
    case engine::FinishReason::cancelled:
    case engine::FinishReason::timed_out:
      break;
  }
  return EndKind::abort;
}

double seconds(engine::RequestTimes::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view end_name(engine::FinishReason reason) {
  return kEndNames[std::size_t(kind_of(reason))];
}

void RequestStats::note_request(std::int64_t choices) {
  const std::lock_guard lock(mutex_);
  counts_.choices.observe(double(choices));
}

void RequestStats::note_first_token(double time) {
  const std::lock_guard lock(mutex_);
  counts_.first_token.observe(time);
}

void RequestStats::note_end(const EndedAnswer& answer) {
  const EndKind kind = kind_of(answer.reason);
  const engine::RequestTimes& times = answer.times;
  const std::lock_guard lock(mutex_);
  ++counts_.ends[std::size_t(kind)];
  counts_.timeouts += answer.reason == engine::FinishReason::timed_out;
  // What ended early says nothing about how long answers take.
  if (kind == EndKind::abort || kind == EndKind::error) return;
  counts_.prompt_tokens.observe(double(answer.prompt_tokens));
  counts_.generated_tokens.observe(double(answer.generated_tokens));
  counts_.max_tokens.observe(double(answer.max_tokens));
  counts_.longest_answer.observe(double(answer.generated_tokens));
  counts_.whole.observe(seconds(engine::RequestTimes::Clock::now() - times.submitted));
  counts_.queue.observe(seconds(times.first_scheduled - times.submitted));
  if (answer.generated_tokens == 0) return;
  counts_.inference.observe(seconds(times.last_token - times.first_scheduled));
  counts_.prefill.observe(seconds(times.first_token - times.first_scheduled));
  counts_.decode.observe(seconds(times.last_token - times.first_token));
  if (answer.generated_tokens > 1)
    counts_.token.observe(seconds(times.last_token - times.first_token) /
                          double(answer.generated_tokens - 1));
}

void RequestStats::note_refusal() {
  const std::lock_guard lock(mutex_);
  ++counts_.refusals;
}

void RequestStats::note_slow_reader() {
  const std::lock_guard lock(mutex_);
  ++counts_.slow_readers;
}

RequestCounts RequestStats::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace isotope::server
