// Any bytes as a chat template, rendered with a small conversation.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isotope;
  static const json::value variables = parse_json(
      R"({"messages": [{"role": "system", "content": "Be brief."},
                       {"role": "user", "content": [{"type": "text", "text": "日本 <&>"}]},
                       {"role": "assistant", "content": null, "tool_calls": [
                         {"id": "1", "function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {"items": []}}}],
          "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})",
      "variables");
  text::TemplateLimits limits;
  limits.steps = 100'000;
  limits.output_bytes = 1 << 20;
  limits.memory_bytes = 16 << 20;
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    text::ChatTemplate::parse(source, "fuzz", limits).render(variables.as_object());
  } catch (const Error&) {
    // The one way to refuse a template.
  }
  return 0;
}
