#include "text/chat_template.h"

#include <boost/json/array.hpp>

#include "base/error.h"
#include "base/file.h"
#include "text/jinja_evaluator.h"
#include "text/jinja_parser.h"

namespace isotope::text {

struct ChatTemplate::Program {
  std::string name, source;
  TemplateLimits limits;
  jinja::Body body;
};

namespace {

// The largest templates published have some tens of kilobytes.
constexpr std::size_t kMaxSourceBytes = std::size_t(1) << 20;

/// The default one of [{"name": …, "template": …}, …].
const json::value* default_template(const json::array& templates, const std::string& name) {
  for (const json::value& entry : templates) {
    const JsonFields fields(entry, name);
    if (fields.string("name", "") == "default") return fields.find("template");
  }
  return nullptr;
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::parse(std::string_view source, std::string name, TemplateLimits limits) {
  if (source.size() > kMaxSourceBytes)
    fail(ErrorCode::corrupt_data, "{}: {} bytes exceed the limit of {} for a chat template", name,
         source.size(), kMaxSourceBytes);
  auto program = std::make_unique<Program>();
  program->body = jinja::parse_template(source, name, limits.depth);
  program->name = std::move(name);
  program->source = source;
  program->limits = limits;
  return ChatTemplate(std::move(program));
}

std::optional<ChatTemplate> ChatTemplate::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path file = model_dir / "chat_template.jinja";
  if (std::filesystem::exists(file)) return parse(read_file(file, kMaxSourceBytes), file.string());
  const std::filesystem::path config = model_dir / "tokenizer_config.json";
  if (!std::filesystem::exists(config)) return std::nullopt;
  const json::value document = parse_json_file(config);
  const JsonFields fields(document, config.string());
  const std::string name = config.string() + ": chat_template";
  const json::value* source = fields.find("chat_template");
  if (source && source->is_array()) source = default_template(source->get_array(), name);
  if (!source) return std::nullopt;
  if (!source->is_string())
    fields.wrong("chat_template", *source, "a string, or a list of {name, template}");
  return parse(source->get_string(), name);
}

std::string ChatTemplate::render(const json::object& variables) const {
  jinja::Runtime runtime(program_->name, program_->limits);
  jinja::Evaluator evaluator(runtime, variables);
  jinja::Output out(runtime);
  evaluator.run(program_->body, out);
  return out.text();
}

bool ChatTemplate::mentions(std::string_view word) const {
  return program_->source.find(word) != std::string::npos;
}

}  // namespace isotope::text
