// One event of a streamed completion, in the forms of OpenAI, vLLM, llama.cpp and this program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace isotope::cli {

struct AnswerEvent {
  bool done = false;        ///< "[DONE]"
  bool has_choice = false;  ///< a non-empty list of choices: what vLLM counts as a token
  bool finished = false;    ///< the choice carries a finish_reason
  std::string text;         ///< of the first choice: text, content, reasoning, tool arguments
  std::string error;        ///< what an error event says; not empty if it is one
  std::optional<std::int64_t> prompt_tokens, completion_tokens, cached_tokens;
  /// What the server measured itself: usage.ttft_ms and tpot_ms, or llama.cpp's "timings".
  std::optional<double> server_ttft_ms, server_tpot_ms;
};

/// `data` is the data of one event. Errors: corrupt_data if it is no JSON object.
AnswerEvent parse_answer_event(std::string_view data);

/// The message in an error's body: {"error": {"message"}}, {"error": "…"}, {"message"}, {"detail"}
/// or, if it is none of these, the text itself. A printable_line().
std::string error_message(std::string_view body);

/// What a server sent, for a terminal or a report: short, valid UTF-8, no control characters.
std::string printable_line(std::string_view bytes);

}  // namespace isotope::cli
