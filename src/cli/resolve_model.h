// What `--model` names: a folder, or a model of the hub in the local cache.
#pragma once

#include <filesystem>
#include <string>

#include "weights/hub/pull.h"

namespace isotope::cli {

inline constexpr const char* kModelHelp =
    "Folder with config.json, weights and tokenizer, or org/name of a model at huggingface.co, "
    "which is downloaded if the cache does not have it";

/// A path that exists stays as it is. Otherwise "org/name" becomes its snapshot in the cache,
/// downloaded (with a message and progress) if it is not there. `revision`: empty for main.
/// Errors: not_found for other names; those of hub::pull, and where a folder called org exists they
/// say that there is no such path, too.
std::filesystem::path resolve_model(const std::filesystem::path& model,
                                    const std::string& revision = {});

/// hub::pull with a progress bar; files that end beyond a limit of the shell are an error, not a
/// signal.
weights::hub::Pulled pull_with_progress(const weights::hub::Settings& settings,
                                        const weights::hub::Repository& repository,
                                        const weights::hub::Selection& files);

}  // namespace isotope::cli
