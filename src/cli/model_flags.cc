#include "cli/model_flags.h"

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "base/log.h"
#include "cli/choice_flag.h"
#include "cli/progress.h"
#include "cli/resolve_model.h"
#include "server/load_model.h"

namespace isotope::cli {
namespace {

using engine::EmbeddingInHost;
using engine::HeadDtype;
using engine::KvDtype;
using engine::LoadFormat;
using engine::WeightDtype;

const std::map<std::string, WeightDtype> kDtypes = {{"auto", WeightDtype::automatic},
                                                    {"bf16", WeightDtype::bf16},
                                                    {"bfloat16", WeightDtype::bf16},
                                                    {"f32", WeightDtype::f32},
                                                    {"float32", WeightDtype::f32}};
const std::map<std::string, KvDtype> kKvDtypes = {
    {"auto", KvDtype::automatic}, {"bf16", KvDtype::bf16}, {"fp8", KvDtype::fp8}};
const std::map<std::string, HeadDtype> kHeadDtypes = {
    {"auto", HeadDtype::automatic}, {"bf16", HeadDtype::bf16}, {"fp8", HeadDtype::fp8}};
const std::map<std::string, EmbeddingInHost> kEmbeddingInHost = {
    {"auto", EmbeddingInHost::automatic},
    {"yes", EmbeddingInHost::yes},
    {"no", EmbeddingInHost::no}};
const std::map<std::string, LoadFormat> kLoadFormats = {{"auto", LoadFormat::automatic},
                                                        {"dummy", LoadFormat::dummy}};

void add_size(CLI::App& command, const std::string& name, std::size_t& target,
              const std::string& help) {
  command
      .add_option_function<std::string>(
          name, [&target, name](const std::string& text) { target = parse_bytes(text, name); },
          help)
      ->type_name("SIZE");
}

void add_weight_flags(CLI::App& command, engine::EngineOptions& engine) {
  add_choice(command, "--dtype", engine.dtype, kDtypes,
             "Weights and activations (auto: FP32 checkpoints stay FP32, all others BF16 or FP8)");
  add_choice(command, "--kv-cache-dtype", engine.kv_dtype, kKvDtypes, "KV cache (auto: bf16)");
  add_choice(
      command, "--lm-head-dtype", engine.head_dtype, kHeadDtypes,
      "fp8: quantize the output head while loading, a scale per row (auto: on GPUs with less "
      "than 24 GiB, unless it is tied to the embedding)");
  add_choice(command, "--embedding-in-host", engine.embedding_in_host, kEmbeddingInHost,
             "GPUs: keep an untied embedding table in host memory (auto: with at most 24 GiB)");
  add_choice(command, "--load-format", engine.load_format, kLoadFormats,
             "dummy: random weights of the right shapes, from config.json alone");
}

void add_step_flags(CLI::App& command, engine::EngineOptions& engine) {
  command
      .add_option("--max-model-len", engine.max_model_len,
                  "Longest prompt plus answer in tokens (0: the model's, as memory allows)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--max-num-seqs", engine.max_num_seqs, "Most sequences in one step")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      .add_option(
          "--max-num-batched-tokens", engine.max_num_batched_tokens,
          "Most tokens in one step (default: 512 on a CPU, 2048 on a GPU, 1024 on one with at "
          "most 24 GiB)")
      ->check(CLI::PositiveNumber);
}

void add_memory_flags(CLI::App& command, engine::EngineOptions& engine) {
  command
      .add_option("--gpu-memory-utilization", engine.gpu_memory_utilization,
                  "The part of a GPU's memory that may be taken")
      ->capture_default_str();
  add_size(command, "--device-memory", engine.device_memory,
           "Use a GPU as if it had only that much memory, such as 16GiB");
  command.add_option("--block-size", engine.block_size, "Tokens in one block of the KV cache")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  add_size(command, "--kv-cache-memory-bytes", engine.kv_memory,
           "Memory for the KV cache, such as 2GiB (default: chosen from what is available)");
  command
      .add_option("--num-kv-blocks", engine.num_kv_blocks,
                  "Blocks of the KV cache, instead of a size in bytes")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("!--no-enable-prefix-caching", engine.prefix_caching,
                   "Compute every prompt in full");
}

}  // namespace

void ModelFlags::add_to(CLI::App& command, Model model) {
  command
      .add_option(model == Model::flag ? "--model,-m" : "model,--model,-m", engine.model,
                  kModelHelp)
      ->required()
      ->check([](const std::string& name) {
        return name.empty() ? "is empty; name a model's folder, or org/name at the hub (for the "
                              "service: ISOTOPE_MODEL in /etc/default/isotope)"
                            : "";
      })
      ->type_name("DIR|ORG/NAME");
  command.add_option("--revision", revision,
                     "Branch, tag or commit of a model of the hub (default: main)");
  command
      .add_option(
          "--served-model-name", served_model_names,
          "Name that requests use (default: org/name or the folder's name); several are allowed")
      ->expected(1);
  command.add_option("--chat-template", chat_template, "File with a Jinja template to use instead")
      ->type_name("FILE");
  add_engine_flags(command, engine);
}

void add_engine_flags(CLI::App& command, engine::EngineOptions& engine) {
  command.add_option("--device", engine.device, "auto, cpu, cuda[:N] or hip[:N]")
      ->capture_default_str();
  command.add_option("--threads", engine.threads, "CPU threads (0: all available)")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  add_weight_flags(command, engine);
  add_step_flags(command, engine);
  add_memory_flags(command, engine);
  command.add_flag("--batch-invariant,!--no-batch-invariant", engine.batch_invariant,
                   "Answers do not depend on the batch, to the bit (default: on)");
  command.add_flag("--enforce-eager", engine.enforce_eager,
                   "GPUs: launch every kernel of a decode step, instead of captured graphs");
  command.add_option("--seed", engine.seed, "Seed of requests that bring none")
      ->capture_default_str();
}

void ModelFlags::resolve() {
  const std::filesystem::path given = engine.model;
  engine.model = resolve_model(given, revision);
  if (engine.model != given && served_model_names.empty())
    served_model_names.push_back(given.string());
}

std::unique_ptr<server::ServedModel> ModelFlags::load() {
  resolve();
  ProgressBar bar("Loading");
  engine.progress = [&bar](std::int64_t done, std::int64_t total, std::string_view name) {
    bar.update(done, total, name);
  };
  auto model = server::load_served_model(engine, served_model_names, chat_template);
  bar.finish();
  engine.progress = nullptr;
  for (const std::string& name : model->engine->info().unused_tensors)
    log_warning("weights", "tensor {} is in the checkpoint but not part of this model", name);
  return model;
}

void SamplingFlags::add_to(CLI::App& command) {
  command.add_option("--temperature", temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-p", top_p, "Smallest set of likely tokens with this mass")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--top-k", top_k, "The k likeliest tokens (0: all)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--min-p", min_p, "Drop tokens less likely than this times the likeliest")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--repetition-penalty", repetition_penalty, "Above 1: avoid repetition")
      ->check(CLI::Range(0.01, 100.0));
  command.add_option("--sampling-seed", seed, "Same seed, same answer");
  command
      .add_option("--max-tokens", max_tokens, "Longest answer (default: what the context leaves)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--stop", stop, "Text that ends the answer; may be repeated");
  command.add_flag("--ignore-eos", ignore_eos, "Go on after the end-of-sequence token");
}

server::GenerationOptions SamplingFlags::over(const engine::SamplingParams& defaults) const {
  server::GenerationOptions options;
  options.sampling = defaults;
  if (temperature) options.sampling.temperature = *temperature;
  if (top_p) options.sampling.top_p = *top_p;
  if (top_k) options.sampling.top_k = *top_k;
  if (min_p) options.sampling.min_p = *min_p;
  if (repetition_penalty) options.sampling.repetition_penalty = *repetition_penalty;
  options.sampling.seed = seed;
  options.sampling.max_tokens = max_tokens;
  options.sampling.ignore_eos = ignore_eos;
  options.stop = stop;
  return options;
}

std::size_t parse_bytes(std::string_view text, std::string_view flag) {
  constexpr std::array<std::pair<std::string_view, double>, 11> kUnits = {{{"", 1},
                                                                           {"B", 1},
                                                                           {"K", 0x1p10},
                                                                           {"KiB", 0x1p10},
                                                                           {"KB", 1e3},
                                                                           {"M", 0x1p20},
                                                                           {"MiB", 0x1p20},
                                                                           {"MB", 1e6},
                                                                           {"G", 0x1p30},
                                                                           {"GiB", 0x1p30},
                                                                           {"GB", 1e9}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, std::size_t(text.data() + text.size() - end));
  if (error == std::errc() && std::isfinite(number) && number >= 0)
    for (const auto& [name, factor] : kUnits)
      if (name == unit && number * factor < 0x1p60) return std::size_t(number * factor);
  fail(ErrorCode::invalid_argument, "{} {}: expected a size such as 2GiB, 512MiB or 1500000000",
       flag, text);
}

std::string format_bytes(std::size_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = double(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace isotope::cli
