#include "text/tokenizer_config.h"

#include "base/json.h"

namespace isotope::text {
namespace {

/// "bos_token": a string, or an added token with its "content".
std::optional<std::string> token_field(const JsonFields& fields, std::string_view field) {
  const json::value* value = fields.find(field);
  if (!value) return std::nullopt;
  return value->is_object() ? fields.child(field).string("content") : fields.string(field);
}

std::optional<bool> switch_field(const JsonFields& fields, std::string_view field) {
  return fields.has(field) ? std::optional(fields.boolean(field, false)) : std::nullopt;
}

}  // namespace

TokenizerConfig TokenizerConfig::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path file = model_dir / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return {};
  const json::value document = parse_json_file(file);
  const JsonFields fields(document, file.string());
  return {token_field(fields, "bos_token"), token_field(fields, "eos_token"),
          switch_field(fields, "add_bos_token"), switch_field(fields, "add_eos_token")};
}

}  // namespace isotope::text
