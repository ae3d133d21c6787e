// The flags that every command with a model has, spelled as vLLM's where vLLM has them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "server/generation.h"

namespace CLI {
class App;
}

namespace isotope::cli {

/// The flags of the engine: device, weights, steps, memory.
void add_engine_flags(CLI::App& command, engine::EngineOptions& engine);

struct ModelFlags {
  engine::EngineOptions engine;
  std::vector<std::string> served_model_names;
  std::string chat_template;
  std::string revision;  ///< of a model of the hub; empty: main

  /// How the folder is given: `--model DIR`, or as the command's argument.
  enum class Model { flag, positional };
  void add_to(CLI::App& command, Model model = Model::flag);
  /// Turns org/name into the folder in the cache; downloads if need be. load() does it too.
  void resolve();
  /// Loads with a progress bar; warns of unused tensors by name.
  std::unique_ptr<server::ServedModel> load();
};

/// Flags for one answer; what was not given follows the model's generation_config.json.
struct SamplingFlags {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<std::uint64_t> seed;
  std::int64_t max_tokens = 0;  ///< 0: what the context leaves
  bool ignore_eos = false;
  std::vector<std::string> stop;

  void add_to(CLI::App& command);
  server::GenerationOptions over(const engine::SamplingParams& defaults) const;
};

/// "4GiB", "512MB", "1000000" to bytes. Errors: invalid_argument naming flag and value.
std::size_t parse_bytes(std::string_view text, std::string_view flag);
/// 8192 → "8.0 KiB"
std::string format_bytes(std::size_t bytes);

}  // namespace isotope::cli
