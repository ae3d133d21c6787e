// isotope kernels: code objects ahead of time, and what they take of the GPU.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/kernel_rules.h"
#include "cli/progress.h"
#include "device/gpu.h"
#include "engine/required_kernels.h"
#include "ops/gpu/kernel_library.h"
#include "weights/config.h"

namespace isotope::cli {
namespace {

using ops::gpu::NotedKernel;

struct KernelsFlags {
  std::string arch;
  std::vector<std::filesystem::path> models;
  std::filesystem::path output = jit::default_cache();
  int jobs = 0;
  bool check = false, json = false;
};

void merge(const NotedKernel& kernel, std::map<std::string, NotedKernel>& into) {
  NotedKernel& merged =
      into.try_emplace(kernel.unit.name, NotedKernel{kernel.unit, {}}).first->second;
  if (merged.unit != kernel.unit)
    fail(ErrorCode::internal, "two different kernel units are named {}", kernel.unit.name);
  for (const auto& [function, needs] : kernel.functions) {
    NotedKernel::Needs& most = merged.functions[function];
    most.threads = std::max(most.threads, needs.threads);
    most.shared_bytes = std::max(most.shared_bytes, needs.shared_bytes);
  }
}

/// What any of the models takes under any of the options that choose kernels, up to the largest
/// captured batch.
std::vector<NotedKernel> needed_kernels(const KernelsFlags& flags) {
  std::map<std::string, NotedKernel> all;
  for (const std::filesystem::path& model : flags.models) {
    const weights::ModelConfig config = weights::read_model_config(model);
    for (const auto kv : {engine::KvDtype::bf16, engine::KvDtype::fp8})
      for (const auto head : {engine::HeadDtype::bf16, engine::HeadDtype::fp8}) {
        engine::EngineOptions options;
        options.kv_dtype = kv;
        options.head_dtype = head;
        options.max_num_seqs = 512;
        for (const NotedKernel& kernel : engine::required_launches(config, flags.arch, options))
          merge(kernel, all);
      }
  }
  std::vector<NotedKernel> kernels;
  for (auto& [name, kernel] : all) kernels.push_back(std::move(kernel));
  return kernels;
}

std::vector<jit::CodeObject> build_all(jit::Builder& builder,
                                       const std::vector<NotedKernel>& kernels) {
  std::vector<jit::Unit> units;
  for (const NotedKernel& kernel : kernels) units.push_back(kernel.unit);
  ProgressBar bar("Compiling");
  auto objects =
      builder.build(units, [&bar](std::int64_t done, std::int64_t total, std::string_view name) {
        bar.update(done, total, name);
      });
  bar.finish();
  return objects;
}

jit::Builder open_builder(const KernelsFlags& flags) {
  return jit::Builder(jit::open_compiler(flags.arch), ops::gpu::kernel_sources(), flags.arch,
                      flags.output, flags.jobs);
}

int build(const KernelsFlags& flags) {
  const std::vector<NotedKernel> kernels = needed_kernels(flags);
  jit::Builder builder = open_builder(flags);
  std::size_t bytes = 0;
  for (const jit::CodeObject& object : build_all(builder, kernels)) bytes += object.size();
  const jit::BuildStats stats = builder.stats();
  fmt::print(
      "{} code objects for {} in {} ({} bytes): {} compiled by {}, {} were there, {:.1f} s\n",
      kernels.size(), flags.arch, (flags.output / flags.arch).string(), bytes, stats.compiled,
      builder.compiler().identity(), stats.from_cache, stats.seconds);
  return 0;
}

std::vector<KernelRow> inspect_all(const KernelsFlags& flags,
                                   const std::vector<NotedKernel>& kernels,
                                   const std::vector<jit::CodeObject>& objects,
                                   const std::optional<jit::Disassembler>& disassembler) {
  std::vector<KernelRow> rows;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const NotedKernel& kernel = kernels[i];
    for (jit::KernelFacts& facts :
         jit::inspect_code(objects[i], kernel.unit.name, flags.arch, disassembler)) {
      KernelRow row{.unit = kernel.unit.name, .file = kernel.unit.file, .facts = std::move(facts)};
      const auto needs = kernel.functions.find(row.facts.name);
      row.launched = needs != kernel.functions.end();
      row.threads = row.launched ? int(needs->second.threads) : row.facts.max_threads;
      row.dynamic_shared = row.launched ? needs->second.shared_bytes : 0;
      row.occupancy = jit::occupancy(flags.arch, row.facts.vgprs, row.shared(), row.threads);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

/// "12×16 3×4": loads from global memory by bytes a lane.
std::string loads_text(const jit::KernelFacts& facts) {
  if (!facts.code) return "?";
  std::string text;
  if (facts.code->bulk_loads > 0) text = fmt::format("{}×bulk ", facts.code->bulk_loads);
  for (auto load = facts.code->loads.rbegin(); load != facts.code->loads.rend(); ++load)
    text += fmt::format("{}×{} ", load->second, load->first);
  return text.substr(0, text.size() - !text.empty());
}

std::string matrix_text(const jit::KernelFacts& facts) {
  if (!facts.code) return "?";
  std::string text;
  for (const auto& [type, number] : facts.code->matrix) text += fmt::format("{} {} ", number, type);
  return text.empty() ? "-" : text.substr(0, text.size() - 1);
}

std::string streams_text(const jit::KernelFacts& facts) {
  std::string text;
  for (const jit::Loop& loop : streaming_loops(facts))
    text += fmt::format("{}+{} ", loop.own.wide(), loop.own.narrow());
  return text.empty() ? "-" : text.substr(0, text.size() - 1);
}

void print_table(const KernelsFlags& flags, const std::vector<KernelRow>& rows) {
  const bool amd = !flags.arch.starts_with("sm_");
  fmt::print("{:<44} {:<20} {:>4} {:>4} {:>6} {:>6} {:>7} {:>6}  {:<10} {:<9} {}\n", "unit",
             "kernel", amd ? "VGPR" : "regs", amd ? "SGPR" : "", amd ? "LDS" : "shared", "spills",
             "scratch", amd ? "waves" : "warps", amd ? "WMMA" : "MMA", "streams",
             "loads (number×bytes a lane)");
  for (const KernelRow& row : rows)
    fmt::print(
        "{:<44} {:<20} {:>4} {:>4} {:>6} {:>6} {:>7} {:>6}  {:<10} {:<9} {}\n", row.unit,
        row.facts.name, row.facts.vgprs, amd ? std::to_string(row.facts.sgprs) : "", row.shared(),
        amd ? fmt::format("{}+{}", row.facts.spilled_vgprs, row.facts.spilled_sgprs) : "",
        row.facts.scratch_bytes, fmt::format("{}/{}", row.occupancy.warps, row.occupancy.max_warps),
        matrix_text(row.facts), streams_text(row.facts), loads_text(row.facts));
  fmt::print(
      "{}: {} kernels. streams: 16-byte + narrower loads in each loop that reads weights, K or V; "
      "{} of a {}.\n",
      flags.arch, rows.size(), amd ? "waves: of the 64" : "warps: of those",
      amd ? "work-group processor" : "multiprocessor");
}

json::object to_json(const KernelRow& row, const std::vector<std::string>& wrong) {
  json::object loads, streamed, matrix;
  json::array loops, problems;
  if (row.facts.code) {
    for (const auto& [bytes, number] : row.facts.code->loads) loads[std::to_string(bytes)] = number;
    for (const auto& [bytes, number] : row.facts.code->streamed)
      streamed[std::to_string(bytes)] = number;
    for (const auto& [type, number] : row.facts.code->matrix) matrix[type] = number;
  }
  for (const jit::Loop& loop : streaming_loops(row.facts))
    loops.push_back({{"wide_loads", loop.own.wide()}, {"narrow_loads", loop.own.narrow()}});
  for (const std::string& reason : wrong) problems.emplace_back(reason);
  return {{"unit", row.unit},
          {"kernel", row.facts.name},
          {"launched", row.launched},
          {"vgprs", row.facts.vgprs},
          {"sgprs", row.facts.sgprs},
          {"spilled_vgprs", row.facts.spilled_vgprs},
          {"spilled_sgprs", row.facts.spilled_sgprs},
          {"scratch_bytes", row.facts.scratch_bytes},
          {"static_shared_bytes", row.facts.shared_bytes},
          {"dynamic_shared_bytes", row.dynamic_shared},
          {"threads", row.threads},
          {"warps", row.occupancy.warps},
          {"max_warps", row.occupancy.max_warps},
          {"disassembled", row.facts.code.has_value()},
          {"loads", loads},
          {"streaming_loads", streamed},
          {"matrix_instructions", matrix},
          {"streaming_loops", loops},
          {"problems", problems}};
}

int report(const KernelsFlags& flags) {
  const auto card = device::open_paper_gpu(flags.arch);
  const std::vector<NotedKernel> kernels = needed_kernels(flags);
  const auto disassembler = jit::Disassembler::open(flags.arch);
  if (!disassembler && flags.check && !flags.arch.starts_with("sm_"))
    fail(ErrorCode::not_found,
         "--check reads machine code, and llvm-objdump is not installed: install llvm-19, or name "
         "it "
         "in ISOTOPE_OBJDUMP");
  if (!disassembler)
    log_warning(
        "cli",
        "no disassembler for {}: loads and matrix instructions are neither shown nor checked",
        flags.arch);
  jit::Builder builder = open_builder(flags);
  const std::vector<KernelRow> rows =
      inspect_all(flags, kernels, build_all(builder, kernels), disassembler);
  StreamRules rules;
  for (const auto& [file, text] : ops::gpu::kernel_sources()) read_stream_rules(text, file, rules);
  json::array array;
  std::int64_t bad = 0;
  if (!flags.json) print_table(flags, rows);
  std::fflush(stdout);
  for (const KernelRow& row : rows) {
    const std::vector<std::string> wrong =
        flags.check ? check_kernel(row, flags.arch, rules, card->properties().shared_per_block)
                    : std::vector<std::string>();
    for (const std::string& reason : wrong)
      fmt::print(stderr, "isotope: {} of {}: {}\n", row.facts.name, row.unit, reason);
    bad += !wrong.empty();
    if (flags.json) array.push_back(to_json(row, wrong));
  }
  if (flags.json) std::cout << json::serialize(array) << "\n";
  if (flags.check && !flags.json)
    fmt::print("{}\n",
               bad ? fmt::format("{} kernels break a rule", bad) : "All of them keep the rules.");
  return bad > 0;
}

void add_common(CLI::App& command, KernelsFlags& flags) {
  command.add_option("--arch", flags.arch, "gfx1201, sm_90a, sm_80, …")->required();
  command
      .add_option("--model,-m", flags.models,
                  "Folder of a model, or its config.json alone; may be repeated")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--jobs,-j", flags.jobs, "Compilations at a time (0: as many as there are cores)")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_kernels(CLI::App& app, Action& action) {
  CLI::App& kernels =
      *app.add_subcommand("kernels", "Compile GPU kernels ahead of time, or report on them");
  kernels.require_subcommand(1);
  const auto flags = std::make_shared<KernelsFlags>();
  CLI::App& builds =
      *kernels.add_subcommand("build", "Compile all that serving a model takes; no GPU is needed");
  builds.footer(R"(
Example:
  isotope kernels build --arch gfx1201 --model DIR)");
  add_common(builds, *flags);
  builds
      .add_option("--output,-o", flags->output,
                  "Cache to fill (default: the one that serving uses)")
      ->type_name("DIR");
  builds.callback([flags, &action] { action = [flags] { return build(*flags); }; });
  CLI::App& reports =
      *kernels.add_subcommand("report", "Show registers, memory and loads of every kernel");
  reports.footer(R"(
Example:
  isotope kernels report --arch gfx1201 --model DIR/config.json --check)");
  add_common(reports, *flags);
  reports.add_flag("--check", flags->check,
                   "Fail on spills, too much LDS, and narrow loads of weights, K or V");
  reports.add_flag("--json", flags->json, "As JSON");
  reports.callback([flags, &action] { action = [flags] { return report(*flags); }; });
}

}  // namespace isotope::cli
