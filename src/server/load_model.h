// Everything that serving a model folder needs, loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "server/generation.h"

namespace isotope::server {

/// Tokenizer, chat template and engine from the folder options.model. Without
/// `names` it has the folder's; a `chat_template` file replaces the model's own. Small files are
/// read first, so that their errors come at once.
std::unique_ptr<ServedModel> load_served_model(const engine::EngineOptions& options,
                                               std::vector<std::string> names = {},
                                               const std::filesystem::path& chat_template = {});

}  // namespace isotope::server
