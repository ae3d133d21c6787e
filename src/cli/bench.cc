// isotope bench: measurements, each beside the ceiling of the device in the same run.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/bench/dataset_flags.h"
#include "cli/bench_latency.h"
#include "cli/bench_serve.h"
#include "cli/bench_throughput.h"
#include "cli/commands.h"
#include "cli/measured_engine.h"
#include "cli/model_flags.h"
#include "cli/report_file.h"
#include "cli/resolve_model.h"

namespace isotope::cli {
namespace {

void add_latency(CLI::App& bench, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "latency", "Time to first token, time per token, and how much of the read bandwidth that is");
  command.footer(R"(
Examples:
  isotope bench latency --model DIR --batch-size 1,8,32
  isotope bench latency --model DIR/config.json --load-format dummy --device hip)");
  const auto flags = std::make_shared<LatencyFlags>();
  add_measured_model_flag(command, flags->engine);
  command.add_option("--batch-size", flags->batch_sizes, "Requests at a time, such as 1,8,32")
      ->delimiter(',')
      ->capture_default_str();
  flags->requests.add_to(command);
  command.add_option("--warmup", flags->warmup, "Repetitions before these")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  add_report_flag(command, flags->json);
  add_engine_flags(command, flags->engine);
  command.callback([flags, &command, &action] {
    flags->requests.max_num_seqs_given = command.count("--max-num-seqs") > 0;
    action = [flags] {
      flags->engine.model = resolve_model(flags->engine.model);
      return run_latency(*flags);
    };
  });
}

void add_throughput(CLI::App& bench, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "throughput", "Tokens a second of the engine when all requests are there at once");
  command.footer(R"(
Examples:
  isotope bench throughput --model DIR --num-prompts 100
  isotope bench throughput --model DIR/config.json --load-format dummy --max-num-seqs 128)");
  const auto flags = std::make_shared<ThroughputFlags>();
  flags->dataset.num_prompts = 100;
  flags->dataset.input_len = 512;
  add_measured_model_flag(command, flags->engine);
  add_dataset_flags(command, flags->dataset);
  command.add_option("--temperature", flags->temperature, "0: always the likeliest token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_flag("--ignore-eos,!--no-ignore-eos", flags->ignore_eos,
                   "Answers have their full length (default: on)");
  add_report_flag(command, flags->json);
  add_engine_flags(command, flags->engine);
  command.callback([flags, &action] {
    flags->dataset.seed = flags->engine.seed;
    action = [flags] {
      flags->engine.model = resolve_model(flags->engine.model);
      return run_throughput(*flags);
    };
  });
}

constexpr const char* kServeFooter = R"(
Examples:
  isotope bench serve --port 8000 --num-prompts 100 --random-input-len 512 --random-output-len 64
  isotope bench serve --base-url http://gpu1:8000/v1 --max-concurrency 1,4,16,64 --ignore-eos \
    --plot sweep.html --json sweep.json
  isotope bench serve --request-rate 4 --goodput ttft:500 tpot:50 --dataset-name sharegpt \
    --dataset-path ShareGPT.json --tokenizer DIR

docs/benchmarking.md defines every figure, and says how to compare servers fairly.)";

void add_server_flags(CLI::App& command, BenchServeFlags& flags) {
  command
      .add_option("--base-url", flags.base_url,
                  "The server, such as http://host:8000 or http://host:8000/v1; no TLS")
      ->type_name("URL");
  command.add_option("--host", flags.host, "Instead of --base-url")->capture_default_str();
  command.add_option("--port", flags.port, "Instead of --base-url")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  command.add_option("--endpoint", flags.endpoint, "/v1/completions or /v1/chat/completions")
      ->capture_default_str()
      ->type_name("PATH");
  command.add_option("--model,-m", flags.model,
                     "The model's name (default: the first of /v1/models)");
  command.add_option("--api-key", flags.api_key, "Bearer token (default: $OPENAI_API_KEY)");
  command
      .add_option(
          "--tokenizer", flags.tokenizer,
          "Folder with the model's tokenizer: random prompts get exact lengths, and answers "
          "without usage are counted")
      ->type_name("DIR");
  command.add_option("--temperature", flags.temperature, "Of all requests")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_flag("--ignore-eos", flags.ignore_eos,
                   "Ask for answers of the full length (vLLM, llama.cpp, isotope)");
  command
      .add_option("--extra-body", flags.extra_body,
                  "Fields to add to each request, or to replace in it")
      ->type_name("JSON");
}

void add_load_flags(CLI::App& command, BenchServeFlags& flags) {
  command
      .add_option("--max-concurrency", flags.max_concurrency,
                  "Most requests at a time (default: no limit); several, such as 1,8,64, are a "
                  "sweep")
      ->delimiter(',');
  command
      .add_option_function<double>(
          "--request-rate", [&flags](const double& rate) { flags.request_rate = rate; },
          "Requests a second, at random times (inf: all at once)")
      ->default_str("inf")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--burstiness", flags.burstiness,
                  "Of a finite rate: 1 is a Poisson process, less is burstier, more is evener")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--num-warmups", flags.num_warmups, "Requests before those that count")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000));
  command
      .add_option("--timeout", flags.timeout,
                  "Seconds without a byte after which a request has failed (0: never)")
      ->capture_default_str()
      ->check(CLI::Range(0, 86400));
  command.add_option("--seed", flags.dataset.seed, "Of prompts and times; point i uses seed + i")
      ->capture_default_str();
}

void add_figure_flags(CLI::App& command, BenchServeFlags& flags) {
  command
      .add_option("--goodput", flags.goodput,
                  "Count requests that keep to these milliseconds, such as ttft:500 tpot:50")
      ->type_name("NAME:MS");
  command.add_option("--percentile-metrics", flags.percentile_metrics, "Which latencies to show")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--metric-percentiles", flags.percentiles, "Which percentiles of them")
      ->delimiter(',')
      ->capture_default_str();
  command
      .add_option("--token-events", flags.token_events,
                  "Events that count as tokens: choices (as vLLM counts) or only those with text")
      ->check(CLI::IsMember({"choices", "text"}))
      ->capture_default_str();
  command.add_option("--label", flags.label, "Title of the results");
  add_report_flag(command, flags.json, "--json,--save-result");
  command.add_flag("--save-detailed", flags.save_detailed,
                   "Add each request's times and text to the JSON");
  command.add_option("--plot", flags.plots, "Write latency over throughput as .svg or .html")
      ->type_name("FILE");
  command.add_flag("--disable-tqdm,--no-progress", flags.no_progress, "No progress bar");
}

void add_bench_serve(CLI::App& bench, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "serve", "Latency and throughput of a running server that speaks OpenAI's protocol");
  const auto flags = std::make_shared<BenchServeFlags>();
  command.footer(kServeFooter);
  add_server_flags(command, *flags);
  add_dataset_flags(command, flags->dataset);
  add_load_flags(command, *flags);
  add_figure_flags(command, *flags);
  command.callback([flags, &action] {
    std::sort(flags->percentiles.begin(), flags->percentiles.end());  // the last is the highest
    action = [flags] { return run_bench_serve(*flags); };
  });
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App& command = *app.add_subcommand("bench", "Measure speed against the device's ceilings");
  command.require_subcommand(1);
  add_latency(command, action);
  add_throughput(command, action);
  add_bench_serve(command, action);
}

}  // namespace isotope::cli
