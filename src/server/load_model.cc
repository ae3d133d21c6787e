#include "server/load_model.h"

#include <algorithm>

#include "base/file.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxTemplateBytes = std::size_t(4) << 20;

/// The folder's own name, also for "models/x/" and ".".
std::string folder_name(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::weakly_canonical(folder);
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

std::unique_ptr<ServedModel> load_served_model(const engine::EngineOptions& options,
                                               std::vector<std::string> names,
                                               const std::filesystem::path& chat_template) {
  auto model = std::make_unique<ServedModel>();
  if (names.empty()) names.push_back(folder_name(options.model));
  model->name = std::move(names.front());
  model->aliases.assign(std::move_iterator(names.begin() + 1), std::move_iterator(names.end()));
  model->root = options.model.string();
  model->tokenizer = text::Tokenizer::load(options.model);
  if (chat_template.empty()) {
    model->chat_template = text::ChatTemplate::load(options.model);
  } else {
    model->chat_template = text::ChatTemplate::parse(read_file(chat_template, kMaxTemplateBytes),
                                                     chat_template.string());
  }
  model->dialect =
      text::dialect_of(*model->tokenizer, model->chat_template ? &*model->chat_template : nullptr);
  model->engine = std::make_unique<engine::Engine>(options);
  const engine::EngineInfo& info = model->engine->info();
  model->default_sampling = info.default_sampling;
  const std::int64_t vocab =
      std::min<std::int64_t>(info.vocab_size, model->tokenizer->vocab_size());
  model->engine->limit_vocab(vocab);
  model->grammars = std::make_unique<GrammarCache>(*model->tokenizer, std::int32_t(vocab));
  return model;
}

}  // namespace isotope::server
