// isotope info: what a model folder holds, and what serving it would take.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <map>

#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/resolve_model.h"
#include "device/device.h"
#include "device/gpu.h"
#include "engine/memory_plan.h"
#include "models/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::cli {
namespace {

struct InfoFlags {
  ModelFlags model;
  std::string arch;
};

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
  if (std::filesystem::is_regular_file(model)) {
    line("none", "a configuration file alone");
    return;
  }
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
  if (std::filesystem::is_regular_file(model)) return;
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
  line("total", fmt::format("{} of {} that may be taken", format_bytes(plan.total_bytes()),
                            format_bytes(plan.budget_bytes)));
  if (plan.host_bytes > 0)
    line("in host memory", fmt::format("{} (embedding table)", format_bytes(plan.host_bytes)));
  line("KV cache holds",
       fmt::format("{} tokens ({}, {} per token)", plan.kv_tokens(), name_of(plan.kv.dtype),
                   format_bytes(plan.kv.bytes_per_block() / std::size_t(plan.kv.block_size))));
  line("longest request", fmt::format("{} tokens", plan.max_model_len));
  line("tokens in one step", fmt::format("{}", plan.limits.max_rows));
}

/// The device asked for; with --arch a card that need not be there.
std::unique_ptr<device::Device> open_device(const InfoFlags& flags) {
  const engine::EngineOptions& options = flags.model.engine;
  if (!flags.arch.empty()) return device::open_paper_gpu(flags.arch, options.device_memory);
  return device::open_device(options.device, options.threads);
}

int run(InfoFlags& flags) {
  flags.model.resolve();
  const engine::EngineOptions& options = flags.model.engine;
  engine::validate(options);
  const weights::ModelConfig config = weights::read_model_config(options.model);
  const auto device = open_device(flags);
  print_architecture(config, models::plan_model(config, {}));
  print_tensors(options.model);
  print_text(options.model);
  print_plan(engine::plan_memory(options, config, engine::plan_device(*device)), device->name());
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("info", "Describe a model and the memory it takes");
  command.footer(R"(
Examples:
  isotope info DIR
  isotope info DIR/config.json --arch gfx1201 --device-memory 16GiB --kv-cache-dtype fp8)");
  const auto flags = std::make_shared<InfoFlags>();
  flags->model.add_to(command, ModelFlags::Model::positional);
  command.get_option("model")->description(std::string(kModelHelp) +
                                           "; a configuration file alone will do");
  command.add_option("--arch", flags->arch,
                     "Plan for a GPU that need not be there: gfx1201, sm_90a, …");
  command.callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace isotope::cli
