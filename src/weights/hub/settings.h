// Where the hub and its cache are, from the environment variables of huggingface_hub.
#pragma once

#include <filesystem>
#include <string>

namespace isotope::weights::hub {

struct Settings {
  std::string endpoint = "https://huggingface.co";
  std::filesystem::path cache;  ///< holds models--org--name
  std::string token;            ///< empty: none
  std::string token_source;     ///< "HF_TOKEN", a path, …: for messages
  bool offline = false;
};

/// HF_ENDPOINT; HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME; HF_TOKEN, HUGGING_FACE_HUB_TOKEN,
/// HF_TOKEN_PATH or HF_HOME/token; HF_HUB_OFFLINE. Errors: invalid_argument naming the variable.
Settings settings_from_environment();
/// A token from `source`; Errors: invalid_argument if it could break out of its header field.
void set_token(Settings& settings, std::string token, std::string source);

}  // namespace isotope::weights::hub
