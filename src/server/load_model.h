// From a model folder to something that answers.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "server/generation.h"

namespace isotope::server {

/// Loads tokenizer, chat template and engine. `name`: what requests call it; empty: the folder's name.
/// `chat_template`: a template file to use instead of the model's; may be empty.
std::unique_ptr<ServedModel> load_served_model(const engine::EngineOptions& options, std::string name,
                                               const std::filesystem::path& chat_template);

}  // namespace isotope::server
