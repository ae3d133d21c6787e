#include "cli/bench/answer_event.h"

#include <algorithm>
#include <array>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "text/utf8.h"

namespace isotope::cli {
namespace {

constexpr std::size_t kMaxMessage = 160;

const json::object* object_in(const json::object& parent, std::string_view field) {
  const json::value* value = parent.if_contains(field);
  return value ? value->if_object() : nullptr;
}

std::optional<std::int64_t> count_in(const json::object& parent, std::string_view field) {
  const json::value* value = parent.if_contains(field);
  if (!value || !value->is_int64() || value->get_int64() < 0) return std::nullopt;
  return value->get_int64();
}

std::optional<double> milliseconds_in(const json::object& parent, std::string_view field) {
  const json::value* value = parent.if_contains(field);
  if (!value || !value->is_number()) return std::nullopt;
  const double number = value->to_number<double>();
  return std::isfinite(number) && number >= 0 ? std::optional(number) : std::nullopt;
}

void append_text(const json::object& parent, std::string_view field, std::string& text) {
  if (const json::value* value = parent.if_contains(field))
    if (const json::string* string = value->if_string()) text += std::string_view(*string);
}

void append_tool_calls(const json::object& delta, std::string& text) {
  const json::value* calls = delta.if_contains("tool_calls");
  if (!calls || !calls->is_array()) return;
  for (const json::value& call : calls->get_array()) {
    const json::object* function =
        call.is_object() ? object_in(call.get_object(), "function") : nullptr;
    if (!function) continue;
    append_text(*function, "name", text);
    append_text(*function, "arguments", text);
  }
}

void read_choices(const json::object& object, AnswerEvent& event) {
  const json::value* choices = object.if_contains("choices");
  if (!choices || !choices->is_array() || choices->get_array().empty()) return;
  event.has_choice = true;
  const json::object* choice = choices->get_array().front().if_object();
  if (!choice) return;
  append_text(*choice, "text", event.text);
  if (const json::object* delta = object_in(*choice, "delta")) {
    append_text(*delta, "content", event.text);
    // Two names for the same: vLLM sends both at a time for a while.
    const std::size_t before = event.text.size();
    append_text(*delta, "reasoning_content", event.text);
    if (event.text.size() == before) append_text(*delta, "reasoning", event.text);
    append_tool_calls(*delta, event.text);
  }
  const json::value* reason = choice->if_contains("finish_reason");
  event.finished = reason && reason->is_string();
}

void read_usage(const json::object& object, AnswerEvent& event) {
  if (const json::object* usage = object_in(object, "usage")) {
    event.prompt_tokens = count_in(*usage, "prompt_tokens");
    event.completion_tokens = count_in(*usage, "completion_tokens");
    if (const json::object* details = object_in(*usage, "prompt_tokens_details"))
      event.cached_tokens = count_in(*details, "cached_tokens");
    event.server_ttft_ms = milliseconds_in(*usage, "ttft_ms");
    event.server_tpot_ms = milliseconds_in(*usage, "tpot_ms");
  }
  if (const json::object* timings = object_in(object, "timings")) {
    event.server_ttft_ms = milliseconds_in(*timings, "prompt_ms");
    event.server_tpot_ms = milliseconds_in(*timings, "predicted_per_token_ms");
  }
}

/// The message that `value` holds in one of the usual places; empty if none does.
std::string message_in(const json::value& value) {
  if (const json::string* string = value.if_string()) return std::string(std::string_view(*string));
  const json::object* object = value.if_object();
  if (!object) return {};
  for (const std::string_view field : {"error", "message", "detail"})
    if (const json::value* inner = object->if_contains(field)) {
      std::string message = message_in(*inner);
      if (!message.empty()) return message;
    }
  return {};
}

}  // namespace

AnswerEvent parse_answer_event(std::string_view data) {
  AnswerEvent event;
  if (data == "[DONE]") {
    event.done = true;
    return event;
  }
  std::array<unsigned char, 4096> memory;
  json::monotonic_resource resource(memory.data(), memory.size());
  const json::value value = parse_json(data, "event", &resource);
  const json::object* object = value.if_object();
  if (!object)
    fail(ErrorCode::corrupt_data, "an event is no JSON object: {}", printable_line(data));
  if (const json::value* error = object->if_contains("error"); error && !error->is_null()) {
    event.error = printable_line(message_in(*error));
    if (event.error.empty()) event.error = printable_line(json::serialize(*error));
    return event;
  }
  read_choices(*object, event);
  read_usage(*object, event);
  return event;
}

std::string error_message(std::string_view body) {
  try {
    std::string message = message_in(parse_json(body, "error"));
    if (!message.empty()) return printable_line(message);
  } catch (const Error&) {
    // Not JSON: a proxy's page, say.
  }
  return printable_line(body);
}

std::string printable_line(std::string_view bytes) {
  std::string text = text::replace_invalid_utf8(bytes.substr(0, 2 * kMaxMessage));
  if (text.size() > kMaxMessage) {
    std::size_t end = kMaxMessage;
    while (end > 0 && (std::uint8_t(text[end]) & 0xc0) == 0x80) --end;  // never half a character
    text.resize(end);
    text += "…";
  }
  for (char& c : text)
    if (std::uint8_t(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

}  // namespace isotope::cli
