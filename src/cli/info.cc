// isotope info: what a model folder holds, and what serving it would take.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <map>

#include "cli/commands.h"
#include "cli/model_flags.h"
#include "device/device.h"
#include "engine/memory_plan.h"
#include "models/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::cli {
namespace {

struct DTypeShare {
  std::int64_t tensors = 0, bytes = 0;
};

void line(std::string_view name, const std::string& value) {
  fmt::print("  {:<22} {}\n", name, value);
}

std::string rope_text(const weights::RopeParameters& rope) {
  using Type = weights::RopeParameters::Type;
  const std::map<Type, std::string_view> names = {{Type::standard, "standard"},
                                                  {Type::linear, "linear"},
                                                  {Type::llama3, "llama3"},
                                                  {Type::yarn, "YaRN"}};
  std::string text = fmt::format("{}, theta {}", names.at(rope.type), rope.theta);
  if (rope.type != Type::standard) text += fmt::format(", factor {}", rope.factor);
  if (rope.query_scale_beta > 0) text += fmt::format(", query scale {}", rope.query_scale_beta);
  return text;
}

void print_architecture(const weights::ModelConfig& config, const models::ModelPlan& plan) {
  const models::ModelInfo& info = plan.info;
  const weights::QuantizationConfig& quantization = config.text.quantization;
  fmt::print("Model\n");
  line("architecture", fmt::format("{} ({})", config.text.architecture, info.family));
  line("parameters", fmt::format("{:.3f} billion", double(plan.parameters) / 1e9));
  line("layers, hidden", fmt::format("{}, {}", info.num_layers, info.hidden_size));
  line("heads", fmt::format("{} query, {} key/value, {} values each", info.num_heads,
                            info.num_kv_heads, info.head_dim));
  line("intermediate, vocab", fmt::format("{}, {}", info.intermediate_size, info.vocab_size));
  line("longest context", fmt::format("{} tokens", info.max_position_embeddings));
  line("RoPE", rope_text(config.text.rope));
  line("quantization", quantization.fp8
                           ? fmt::format("FP8 E4M3, scales {}", name_of(quantization.weight_scales))
                           : "none");
}

/// A folder with only a config.json is fine: then there are no tensors to describe.
void print_tensors(const std::filesystem::path& model) {
  fmt::print("\nTensors\n");
  std::unique_ptr<weights::TensorSource> source;
  try {
    source = weights::open_checkpoint(model);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found) throw;
    line("none", error.what());
    return;
  }
  std::map<std::string_view, DTypeShare> shares;
  for (const std::string& name : source->names()) {
    const TensorView tensor = source->find(name);
    DTypeShare& share = shares[name_of(tensor.dtype)];
    ++share.tensors;
    share.bytes += tensor.bytes();
  }
  for (const auto& [dtype, share] : shares)
    line(dtype,
         fmt::format("{} tensors, {}", share.tensors, format_bytes(std::size_t(share.bytes))));
}

void print_text(const std::filesystem::path& model) {
  fmt::print("\nText\n");
  try {
    const auto tokenizer = text::Tokenizer::load(model);
    const auto token = [&tokenizer](std::optional<TokenId> id) {
      return id ? fmt::format("{} {}", *id, tokenizer->token_text(*id)) : std::string("none");
    };
    line("tokenizer", fmt::format("{}, {} ids", tokenizer->kind(), tokenizer->vocab_size()));
    line("BOS, EOS", token(tokenizer->bos_id()) + ", " + token(tokenizer->eos_id()));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found) throw;
    line("tokenizer", "none");
  }
  line("chat template", text::ChatTemplate::load(model) ? "yes" : "none");
}

void print_plan(const engine::MemoryPlan& plan, std::string_view device) {
  fmt::print("\nMemory on {}\n", device);
  for (const engine::MemoryItem& item : plan.items) line(item.what, format_bytes(item.bytes));
  line("total", format_bytes(plan.total_bytes()));
  line("KV cache holds",
       fmt::format("{} tokens ({}, {} per token)", plan.kv_tokens(), name_of(plan.kv.dtype),
                   format_bytes(plan.kv.bytes_per_block() / std::size_t(plan.kv.block_size))));
  line("longest request", fmt::format("{} tokens", plan.max_model_len));
}

int run(ModelFlags& flags) {
  engine::validate(flags.engine);
  const weights::ModelConfig config = weights::read_model_config(flags.engine.model);
  const models::ModelPlan plan = models::plan_model(config, {});
  print_architecture(config, plan);
  print_tensors(flags.engine.model);
  print_text(flags.engine.model);
  const auto device = device::open_device(flags.engine.device, flags.engine.threads);
  print_plan(engine::plan_memory(flags.engine, config, device->memory().available), device->name());
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("info", "Describe a model and the memory it takes");
  const auto flags = std::make_shared<ModelFlags>();
  flags->add_to(command, ModelFlags::Model::positional);
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
