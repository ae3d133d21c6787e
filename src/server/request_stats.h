// What requests took, for /metrics: histograms by the definitions of vLLM's.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "base/histogram.h"
#include "engine/request.h"

namespace isotope::server {

// vLLM's buckets.
inline constexpr std::array kFirstTokenSeconds{0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                               0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                               20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
inline constexpr std::array kTokenSeconds{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
                                          0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
inline constexpr std::array kRequestSeconds{0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                            5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                            60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
inline constexpr std::array kChoices{1.0, 2.0, 5.0, 10.0, 20.0};
/// Shown up to the model's length.
inline constexpr std::array kTokens{1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3,
                                    5e3, 1e4, 2e4, 5e4,  1e5,  2e5,  5e5,   1e6,   2e6,   5e6};

/// How an answer ended, in vLLM's words.
enum class EndKind { stop, length, abort, error };
constexpr std::array kEndNames{"stop", "length", "abort", "error"};

std::string_view end_name(engine::FinishReason reason);

struct RequestCounts {
  std::array<std::uint64_t, kEndNames.size()> ends{};  ///< by EndKind
  std::uint64_t timeouts = 0, refusals = 0;            ///< deadlines passed; queue full
  std::uint64_t slow_readers = 0;                      ///< cancelled for what they did not read
  Histogram<kFirstTokenSeconds> first_token;
  Histogram<kTokenSeconds> token;  ///< mean of a request after its first
  Histogram<kRequestSeconds> whole, queue, inference, prefill, decode;
  Histogram<kTokens> prompt_tokens, generated_tokens, max_tokens, longest_answer;
  Histogram<kChoices> choices;
};

/// An answer at its end.
struct EndedAnswer {
  engine::FinishReason reason = engine::FinishReason::cancelled;
  std::int64_t prompt_tokens = 0, generated_tokens = 0, max_tokens = 0;
  engine::RequestTimes times;
};

/// May be called from any thread.
class RequestStats {
 public:
  /// A request with `choices` answers to each prompt was accepted.
  void note_request(std::int64_t choices);
  void note_first_token(double seconds);
  void note_end(const EndedAnswer& answer);
  void note_refusal();
  void note_slow_reader();

  RequestCounts counts() const;

 private:
  mutable std::mutex mutex_;
  RequestCounts counts_;
};

}  // namespace isotope::server
