#include "server/usage.h"

#include <chrono>
#include <random>

namespace isotope::server {

json::object Usage::to_json() const {
  json::object result;
  result["prompt_tokens"] = prompt_tokens;
  result["completion_tokens"] = completion_tokens;
  result["total_tokens"] = prompt_tokens + completion_tokens;
  result["prompt_tokens_details"] = json::object{{"cached_tokens", cached_tokens}};
  result["completion_tokens_details"] = json::object{{"reasoning_tokens", reasoning_tokens}};
  result["ttft_ms"] = ttft_ms;
  result["tpot_ms"] = tpot_ms;
  return result;
}

std::string new_id(std::string_view prefix) {
  thread_local std::random_device device;
  return fmt::format("{}{:08x}{:08x}{:08x}{:08x}", prefix, device(), device(), device(), device());
}

std::int64_t unix_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace isotope::server
