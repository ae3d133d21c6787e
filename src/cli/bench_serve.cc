#include "cli/bench_serve.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <memory>

#include "base/error.h"
#include "cli/bench/dataset_flags.h"
#include "cli/bench/json_request.h"
#include "cli/bench/latency_plot.h"
#include "cli/bench/schedule.h"
#include "cli/bench/serve_report.h"
#include "cli/progress.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

/// Warm-up prompts are drawn from a stream of their own, so that no measured one is in a cache.
constexpr std::uint64_t kWarmupSeed = 0x9e3779b97f4a7c15;

json::object extra_fields(const std::string& text) {
  if (text.empty()) return {};
  const json::value value = parse_json(text, "--extra-body");
  if (!value.is_object())
    fail(ErrorCode::invalid_argument, "--extra-body {}: expected a JSON object", text);
  return value.get_object();
}

std::string request_body(const BenchPrompt& prompt, const BenchServeFlags& flags,
                         const std::string& model, const json::object& extra) {
  json::object body{{"model", model},
                    {"temperature", flags.temperature},
                    {"stream", true},
                    {"stream_options", json::object{{"include_usage", true}}}};
  if (flags.endpoint.ends_with("/chat/completions")) {
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", prompt.text}}};
    body["max_completion_tokens"] = prompt.output_len;
  } else {
    body["prompt"] = prompt.text;
    body["max_tokens"] = prompt.output_len;
  }
  if (flags.ignore_eos) body["ignore_eos"] = true;
  for (const auto& field : extra) body[field.key()] = field.value();
  return json::serialize(body);
}

bool has_plot_form(const std::string& path) {
  return path.ends_with(".svg") || path.ends_with(".html");
}

void check(const BenchServeFlags& flags) {
  if (!flags.endpoint.starts_with('/') || !flags.endpoint.ends_with("/completions"))
    fail(ErrorCode::invalid_argument,
         "--endpoint {}: expected a path that ends with /completions or /chat/completions",
         flags.endpoint);
  for (const std::int64_t concurrency : flags.max_concurrency)
    if (concurrency < 1 || concurrency > 60000)
      fail(ErrorCode::invalid_argument, "--max-concurrency {}: expected numbers from 1 to 60000",
           concurrency);
  constexpr std::array<std::string_view, 4> kMetrics = {"ttft", "tpot", "itl", "e2el"};
  for (const std::string& metric : flags.percentile_metrics)
    if (std::find(kMetrics.begin(), kMetrics.end(), metric) == kMetrics.end())
      fail(ErrorCode::invalid_argument,
           "--percentile-metrics {}: expected some of ttft,tpot,itl,e2el", metric);
  for (const double percent : flags.percentiles)
    if (!(percent >= 0 && percent <= 100))
      fail(ErrorCode::invalid_argument, "--metric-percentiles {}: expected numbers from 0 to 100",
           percent);
  for (const std::string& plot : flags.plots)
    if (!has_plot_form(plot))
      fail(ErrorCode::invalid_argument, "--plot {}: expected a name with .svg or .html", plot);
}

class BenchServe {
 public:
  explicit BenchServe(const BenchServeFlags& flags)
      : flags_(flags),
        goodput_(parse_goodput(flags.goodput)),
        extra_(extra_fields(flags.extra_body)) {
    if (!flags.tokenizer.empty()) tokenizer_ = text::Tokenizer::load(flags.tokenizer);
    const std::string base = flags.base_url.empty()
                                 ? fmt::format("http://{}:{}", flags.host, flags.port)
                                 : flags.base_url;
    load_.url = parse_url(base);
    load_.endpoint = flags.endpoint;
    load_.http = {.api_key = flags.api_key, .silence = std::chrono::seconds(flags.timeout)};
    if (const char* key = std::getenv("OPENAI_API_KEY"); key && load_.http.api_key.empty())
      load_.http.api_key = key;
    load_.token_events = flags.token_events == "text" ? TokenEvents::text : TokenEvents::choices;
    load_.keep_text = flags.save_detailed || tokenizer_;
    model_ = flags.model.empty() ? find_listed_model(load_.url, load_.http, "").id : flags.model;
    report_ = {.base_url = base,
               .endpoint = flags.endpoint,
               .model = model_,
               .tokenizer = flags.tokenizer,
               .dataset = std::string(name_of(flags.dataset.kind)),
               .label = flags.label,
               .date = fmt::format("{:%Y%m%d-%H%M%S}", fmt::localtime(std::time(nullptr))),
               .request_rate = rate(),
               .burstiness = flags.burstiness,
               .num_prompts = flags.dataset.num_prompts,
               .percentile_metrics = flags.percentile_metrics,
               .percents = flags.percentiles,
               .detailed = flags.save_detailed};
  }

  int run() {
    const bool tables = flags_.json != "-";
    if (tables)
      fmt::print("{}{}, model {}, dataset {}, {} prompts\n", report_.base_url, flags_.endpoint,
                 model_, report_.dataset, flags_.dataset.num_prompts);
    bool interrupted = warm_up();
    std::vector<std::int64_t> sweep = flags_.max_concurrency;
    if (sweep.empty()) sweep.push_back(0);
    for (std::size_t i = 0; i < sweep.size() && !interrupted; ++i) {
      points_.push_back(measure(sweep[i], flags_.dataset.seed + i));
      interrupted = points_.back().load.interrupted;
      if (tables) print_point(points_.back(), report_);
    }
    if (tables) print_sweep(points_, report_);
    save();
    if (interrupted) return 130;
    const bool any = std::any_of(points_.begin(), points_.end(), [](const ServePoint& point) {
      return point.metrics.completed > 0;
    });
    return any ? 0 : 1;
  }

 private:
  double rate() const {
    return flags_.request_rate > 0 ? flags_.request_rate : std::numeric_limits<double>::infinity();
  }

  std::vector<std::string> bodies(const std::vector<BenchPrompt>& prompts) const {
    std::vector<std::string> result;
    for (const BenchPrompt& prompt : prompts)
      result.push_back(request_body(prompt, flags_, model_, extra_));
    return result;
  }

  /// Returns whether Ctrl-C was pressed. Errors: unavailable if the first request fails, because
  /// then all would.
  bool warm_up() {
    if (flags_.num_warmups == 0) return false;
    DatasetOptions options = flags_.dataset;
    options.num_prompts = flags_.num_warmups;
    options.seed = flags_.dataset.seed ^ kWarmupSeed;
    LoadOptions load = load_;
    load.max_concurrency = 1;
    if (!flags_.max_concurrency.empty())
      load.max_concurrency =
          *std::max_element(flags_.max_concurrency.begin(), flags_.max_concurrency.end());
    const Dataset dataset = make_dataset(options, tokenizer_.get());
    const LoadResult result =
        run_load(load, bodies(dataset.prompts), std::vector<double>(dataset.prompts.size(), 0.0));
    if (result.interrupted) return true;
    const LoadRecord& first = result.records.front();
    if (!first.succeeded())
      fail(ErrorCode::unavailable,
           "the warm-up request to {}{} failed, so nothing was measured: {} (--num-warmups 0 "
           "measures all the same)",
           report_.base_url, flags_.endpoint, first.error);
    return false;
  }

  ServePoint measure(std::int64_t concurrency, std::uint64_t seed) {
    DatasetOptions options = flags_.dataset;
    options.seed = seed;
    const Dataset dataset = make_dataset(options, tokenizer_.get());
    if (dataset.distinct < dataset.prompts.size())
      fmt::print(stderr,
                 "note: the dataset has {} usable prompts for {} requests, so they repeat, and a "
                 "prefix cache can help\n",
                 dataset.distinct, dataset.prompts.size());
    ServePoint point;
    point.max_concurrency = concurrency;
    LoadOptions load = load_;
    load.max_concurrency = concurrency;
    ProgressBar bar(concurrency > 0 ? fmt::format("Concurrency {}", concurrency) : "Load");
    const auto began = std::chrono::steady_clock::now();
    if (!flags_.no_progress)
      load.progress = [&](std::int64_t ended, std::int64_t failed, std::int64_t running,
                          std::int64_t tokens) {
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        bar.update(ended, std::int64_t(dataset.prompts.size()),
                   fmt::format("{:.0f} tok/s, {:.1f} req/s, {} run{}", double(tokens) / seconds,
                               double(ended) / seconds, running,
                               failed > 0 ? fmt::format(", {} bad", failed) : ""));
      };
    point.load = run_load(load, bodies(dataset.prompts),
                          arrival_times(dataset.prompts.size(), rate(), flags_.burstiness, seed));
    bar.finish();
    count_tokens(dataset, point);
    point.metrics = compute_metrics(point.load, point.tokens, flags_.percentiles, goodput_);
    return point;
  }

  void count_tokens(const Dataset& dataset, ServePoint& point) const {
    TokenCounts& tokens = point.tokens;
    for (std::size_t i = 0; i < point.load.records.size(); ++i) {
      const LoadRecord& record = point.load.records[i];
      tokens.input.push_back(record.prompt_tokens.value_or(dataset.prompts[i].prompt_len));
      std::int64_t output = 0;
      if (record.succeeded() && record.completion_tokens.value_or(0) > 0) {
        output = *record.completion_tokens;
        ++tokens.counted_by_usage;
      } else if (record.succeeded() && tokenizer_) {
        output =
            std::int64_t(tokenizer_->encode(record.text, {.parse_special_tokens = false}).size());
        ++tokens.counted_by_tokenizer;
      } else if (record.succeeded()) {
        output = std::int64_t(record.events.size());
        ++tokens.counted_by_events;
      }
      tokens.output.push_back(output);
    }
  }

  void save() const {
    if (!flags_.json.empty()) {
      json::value result;
      if (points_.size() == 1) {
        result = to_json(points_.front(), report_);
      } else {
        json::array results;
        for (const ServePoint& point : points_) results.push_back(to_json(point, report_));
        result = json::object{{"results", std::move(results)}};
      }
      write_report(result, flags_.json);
    }
    for (const std::string& plot : flags_.plots) write_file(plot, plot_text(plot), "--plot");
  }

  std::string plot_text(const std::string& path) const {
    std::vector<PlotPoint> plotted;
    for (const ServePoint& point : points_)
      if (point.metrics.completed > 0)
        plotted.push_back({.label = concurrency_text(point),
                           .throughput = point.metrics.output_throughput,
                           .ttft_median = point.metrics.ttft.median,
                           .ttft_high = high_of(point.metrics.ttft),
                           .tpot_median = point.metrics.tpot.median,
                           .tpot_high = high_of(point.metrics.tpot)});
    PlotText text{.title = flags_.label.empty() ? model_ : flags_.label,
                  .subtitle = fmt::format("{}, {} prompts a point, {}", report_.dataset,
                                          report_.num_prompts, report_.date),
                  .high_name = high_name(report_)};
    if (path.ends_with(".svg")) return latency_svg(plotted, text);
    return latency_html(plotted, text, sweep_rows(points_, report_),
                        {{"server", report_.base_url + flags_.endpoint},
                         {"model", model_},
                         {"dataset", report_.dataset},
                         {"request rate", number_text(rate())},
                         {"date", report_.date},
                         {"measured by", "isotope bench serve"}});
  }

  const BenchServeFlags& flags_;
  Goodput goodput_;
  json::object extra_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  LoadOptions load_;
  std::string model_;
  ReportOptions report_;
  std::vector<ServePoint> points_;
};

}  // namespace

int run_bench_serve(const BenchServeFlags& flags) {
  check(flags);
  return BenchServe(flags).run();
}

}  // namespace isotope::cli
