// isotope tune: which variant of each kernel is the fastest on this card.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "base/sha256.h"
#include "cli/commands.h"
#include "cli/interrupt_guard.h"
#include "cli/measured_engine.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/report_file.h"
#include "cli/resolve_model.h"
#include "cli/tune/tune_log.h"
#include "cli/tune/tune_report.h"
#include "device/gpu.h"
#include "engine/memory_plan.h"
#include "models/model.h"
#include "ops/gpu/kernel_library.h"
#include "ops/tuning/tuned_rows.h"
#include "weights/checkpoint.h"
#include "weights/config.h"
#include "weights/dummy.h"

namespace isotope::cli {
namespace {

constexpr const char* kTitle = "Written by isotope tune";
constexpr int kInterrupted = 130;

struct TuneFlags {
  engine::EngineOptions engine;
  ops::TuningRows rows{{1, 2, 4, 8, 16, 32, 64, 128}, {64}};
  std::vector<std::string> kernels;
  int rounds = 12;
  std::string output, json;
  bool fresh = false, ignore_tables = false;

  TuneFlags() {
    for (std::int64_t rows_of = 128; rows_of <= 2048; rows_of += 128)
      rows.prefill.push_back(rows_of);
  }
};

/// The device with a model on it, ready to run single kernels.
class Bench {
 public:
  explicit Bench(const TuneFlags& flags)
      : device_(device::open_device(flags.engine.device, flags.engine.threads)) {
    if (device_->kind() == device::Kind::cpu)
      fail(
          ErrorCode::unsupported,
          "--device {}: only kernels of GPUs have values to tune; those of the CPU follow from its "
          "instruction sets. Give --device cuda or hip",
          flags.engine.device);
    const weights::ModelConfig config = weights::read_model_config(flags.engine.model);
    engine::validate(flags.engine);
    models::LoadOptions load = engine::load_options(flags.engine, engine::plan_device(*device_));
    models::StepLimits limits;
    limits.max_rows = std::max(most(flags.rows.decode), most(flags.rows.prefill));
    limits.max_logits = most(flags.rows.decode);
    limits.max_context = 1;
    limits.gpu = true;
    context_.emplace(*device_, models::plan_model(config, load, true).workspace_bytes(limits));
    ProgressBar bar("Loading");
    load.progress = [&bar](std::int64_t done, std::int64_t total, std::string_view what) {
      bar.update(done, total, what);
    };
    const auto source = flags.engine.load_format == engine::LoadFormat::dummy
                            ? weights::make_dummy_source(config, flags.engine.seed)
                            : weights::open_checkpoint(flags.engine.model);
    models::LoadReport report;
    model_ = models::load_model(*context_, config, *source, load, report);
    bar.finish();
    if (flags.ignore_tables) context_->kernels().tuning() = ops::Tuning();
  }

  ops::Context& context() { return *context_; }
  device::Gpu& gpu() { return context_->kernels().gpu(); }
  bool simulated() { return gpu().counted_work().has_value(); }

  /// Those of the wanted kernels that are not in the log, each shape once.
  ops::TuningCases cases(const TuneFlags& flags, const TuneLog& log) {
    const DType kv = flags.engine.kv_dtype == engine::KvDtype::fp8 ? DType::f8_e4m3 : DType::bf16;
    ops::TuningCases wanted;
    std::vector<ops::TuningSpace> seen;
    for (auto& one : model_->tuning_cases(*context_, flags.rows, kv)) {
      const ops::TuningSpace space = one->space();
      const auto same = [&space](const ops::TuningSpace& other) {
        return other.op == space.op && other.shape == space.shape;
      };
      const bool named =
          flags.kernels.empty() ||
          std::find(flags.kernels.begin(), flags.kernels.end(), space.op) != flags.kernels.end();
      if (!named || log.has(space) || std::any_of(seen.begin(), seen.end(), same)) continue;
      seen.push_back(space);
      wanted.push_back(std::move(one));
    }
    return wanted;
  }

 private:
  static std::int64_t most(const std::vector<std::int64_t>& rows) {
    return rows.empty() ? 1 : *std::max_element(rows.begin(), rows.end());
  }

  std::unique_ptr<device::Device> device_;
  std::optional<ops::Context> context_;
  std::unique_ptr<models::Model> model_;
};

/// Where the table goes. Errors: invalid_argument where another's file would be lost.
std::filesystem::path output_path(const TuneFlags& flags, Bench& bench) {
  std::filesystem::path path = flags.output;
  if (path.empty()) {
    if (bench.simulated())
      fail(ErrorCode::invalid_argument,
           "--output is needed on a simulated card: a table ranked by counted work must not become "
           "a real card's by accident");
    const std::filesystem::path folder = ops::tuning_folder();
    if (folder.empty())
      fail(ErrorCode::invalid_argument,
           "there is no home folder for the table: give --output FILE");
    path = folder / ops::tuning_file_name(bench.gpu().properties().arch);
  }
  if (std::filesystem::exists(path) &&
      !read_file(path, std::size_t(1) << 20).starts_with(fmt::format("# {}", kTitle)))
    fail(ErrorCode::invalid_argument,
         "{} was not written by `isotope tune`, and would be lost: move it away, or give --output "
         "FILE",
         path.string());
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  return path;
}

/// What measurements depend on: the card and all kernel text.
json::object settings_of(const TuneFlags& flags, Bench& bench) {
  Sha256 hash;
  for (const auto& [name, text] : ops::gpu::kernel_sources()) {
    hash.update_field(name);
    hash.update_field(text);
  }
  return {{"device", bench.gpu().name()},
          {"arch", bench.gpu().properties().arch},
          {"simulated", bench.simulated()},
          {"ignore_tables", flags.ignore_tables},
          {"kernels_sha256", hex(hash.finish())}};
}

std::string comment_of(Bench& bench, const std::filesystem::path& log) {
  std::string text = fmt::format("{} on {}, from the measurements in {}.", kTitle,
                                 bench.gpu().name(), log.filename().string());
  if (bench.simulated()) text += "\nRanked by counted work in simulation; no time was measured.";
  return text;
}

/// Whether all cases were tried, or Ctrl-C came first.
bool sweep(Bench& bench, const TuneFlags& flags, TuneLog& log) {
  const ops::TuningCases cases = bench.cases(flags, log);
  if (cases.empty()) return true;
  const InterruptGuard guard;
  ops::Sweep sweep(bench.context(), flags.rounds);
  {
    ProgressBar bar("Compiling");
    sweep.build(cases, [&bar](std::int64_t done, std::int64_t total, std::string_view what) {
      bar.update(done, total, what);
    });
    bar.finish();
  }
  ProgressBar bar("Tuning");
  const auto total = std::int64_t(cases.size());
  for (std::int64_t i = 0; i < total; ++i) {
    if (InterruptGuard::interrupted()) return false;
    bar.update(i, total, cases[std::size_t(i)]->name());
    log.add(sweep.run(*cases[std::size_t(i)]));
  }
  bar.update(total, total, "");
  bar.finish();
  return true;
}

int run_tune(const TuneFlags& flags) {
  Bench bench(flags);
  const std::filesystem::path path = output_path(flags, bench);
  const std::filesystem::path log_path = path.string() + ".jsonl";
  TuneLog log(log_path, settings_of(flags, bench), flags.fresh);
  const auto known = std::int64_t(log.results().size());
  if (known > 0)
    fmt::print(stderr, "{} shapes are in {} already (--fresh: measure them again)\n", known,
               log_path.string());
  if (!sweep(bench, flags, log)) {
    fmt::print(stderr,
               "interrupted after {} shapes; no table was written. The same command goes on from "
               "here\n",
               log.results().size());
    return kInterrupted;
  }
  const ops::TunedTable table = ops::choose(log.results());
  const std::string text = ops::to_toml(table.rows, comment_of(bench, log_path));
  ops::Tuning().add(text, path.string());  // what we could not read we do not write
  write_file(path.string(), text, "--output");
  const bool json_only = flags.json == "-";
  if (!json_only) {
    print_choices(stdout, table.choices, bench.simulated());
    fmt::print("{} rows in {}\n", table.rows.size(), path.string());
  }
  write_report(json::object{{"device", bench.gpu().name()},
                            {"simulated", bench.simulated()},
                            {"table", path.string()},
                            {"cases", choices_json(table.choices)}},
               flags.json);
  return 0;
}

constexpr const char* kExplanation = R"(
For every kernel that has variants, at every shape of the model and every bucket of batch sizes: each variant is compiled, its
result is checked (against a definition in double precision, and against the variant in use), and only then timed, in turns with
the others, over copies of the weights that exceed the caches. The fastest is written into the table of this kind of card, which
every later start reads: $XDG_CONFIG_HOME/isotope/tuning/ARCH.toml. Delete the file to be back at what Isotope ships.

Ctrl-C is safe: measurements are kept beside the table (TABLE.jsonl), the same command goes on after them, and those of several
models make one table. They are measured anew when the card or the kernels have changed.

On the simulated gfx1201 (tools/simulated_gpu.sh) variants are ranked by counted work instead of time, and --output is needed.

Examples:
  isotope tune --model DIR
  isotope tune --model config.json --load-format dummy --device cuda
  isotope tune --model DIR --kernels linear_wide --decode-rows 32,64 --rounds 30)";

void add_flags(CLI::App& command, TuneFlags& flags) {
  add_measured_model_flag(command, flags.engine);
  command.add_option("--decode-rows", flags.rows.decode, "Batch sizes in decode phase, 1 to 128")
      ->delimiter(',')
      ->check(CLI::Range(1, 128))
      ->capture_default_str();
  command
      .add_option("--prefill-rows", flags.rows.prefill,
                  "Tokens of a step in prefill phase, 1 to 2048 (default: 64, 128, 256, 384, …)")
      ->delimiter(',')
      ->check(CLI::Range(1, 2048));
  command.add_option("--kernels", flags.kernels, "Only these")
      ->delimiter(',')
      ->check(
          CLI::IsMember({"linear_decode", "linear_wide", "linear_prefill", "attention_decode"}));
  command.add_option("--rounds", flags.rounds, "How often each variant is timed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      .add_option("--output,-o", flags.output,
                  "The table (default: ARCH.toml in the user's tuning folder)")
      ->type_name("FILE");
  command.add_flag("--fresh", flags.fresh, "Forget earlier measurements");
  command.add_flag("--ignore-tables", flags.ignore_tables,
                   "Compare with the kernels' defaults, as if there were no table yet");
  add_report_flag(command, flags.json);
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand(
      "tune", "Find the fastest variant of each kernel for a model on this GPU");
  command.footer(kExplanation);
  const auto flags = std::make_shared<TuneFlags>();
  add_flags(command, *flags);
  add_engine_flags(command, flags->engine);
  command.callback([flags, &action] {
    action = [flags] {
      flags->engine.model = resolve_model(flags->engine.model);
      return run_tune(*flags);
    };
  });
}

}  // namespace isotope::cli
