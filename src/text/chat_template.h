// Chat templates: a sandboxed subset of Jinja2, as transformers sets it up.
//
// It differs from Python's where that is not worth its cost: integers have 64 bits (more is an
// error), what map, select and the like give can be gone over twice, and the filters that chat
// templates have no use for (groupby, urlize, xmlattr, random…), include, import, extends, block
// and autoescape are refused by name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace isotope::text {

/// What a template may use before it is stopped with an Error.
struct TemplateLimits {
  /// Evaluated expressions and statements; long texts and lists count for more.
  std::int64_t steps = 5'000'000;
  /// Of the rendered text, and of any one text on the way.
  std::size_t output_bytes = 16u << 20;
  /// Nested macro calls, and nested expressions in the source. 100 take up to 1 MiB of stack.
  int depth = 100;
  /// Of all values alive at once.
  std::size_t memory_bytes = 256u << 20;
};

/// Parsed once; render() may be called from any thread.
class ChatTemplate {
 public:
  /// Errors: corrupt_data with template name, line and what was expected.
  static ChatTemplate parse(std::string_view source, std::string name, TemplateLimits limits = {});
  /// From chat_template.jinja, or else "chat_template" in tokenizer_config.json (a string, or a
  /// list of {name, template}: the one called "default"). nullopt if the model has none.
  static std::optional<ChatTemplate> load(const std::filesystem::path& model_dir);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// `variables`: messages, tools, add_generation_prompt, bos_token, eos_token,
  /// chat_template_kwargs… Errors: invalid_argument with the message that the template raised
  /// (raise_exception) or the line of what failed or exceeded a limit.
  std::string render(const json::object& variables) const;
  /// Whether the template's source contains `word`: what it knows.
  bool mentions(std::string_view word) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace isotope::text
