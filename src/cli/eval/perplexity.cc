#include "cli/eval/perplexity.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cli/eval/perplexity_record.h"
#include "cli/eval/perplexity_windows.h"
#include "cli/eval/result_log.h"
#include "cli/progress.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

struct Text {
  std::vector<TokenId> tokens;  ///< as the tokenizer gives them, with what it puts in front
  double tokens_per_byte = 0;   ///< without that
  std::string sha256;
};

Text read_text(const std::filesystem::path& path, EvaluatedModel& model) {
  const std::string bytes = read_file(path);
  Text text{model.encode(bytes, true), 0, hex(sha256(std::as_bytes(std::span(bytes))))};
  if (text.tokens.size() < 2)
    fail(ErrorCode::invalid_argument, "{}: {} tokens; perplexity needs two", path.string(),
         text.tokens.size());
  text.tokens_per_byte = double(model.encode(bytes, false).size()) / double(bytes.size());
  return text;
}

std::vector<TextWindow> cut(const PerplexityFlags& flags, std::int64_t stride, const Text& text,
                            const EvaluatedModel& model) {
  if (stride > flags.context_length)
    fail(ErrorCode::invalid_argument,
         "--stride {}: exceeds --context-length {}, which would skip "
         "tokens",
         stride, flags.context_length);
  if (model.max_model_len() > 0 && flags.context_length > model.max_model_len())
    fail(ErrorCode::invalid_argument,
         "--context-length {}: the model takes {} tokens; give that or less", flags.context_length,
         model.max_model_len());
  std::vector<TextWindow> windows =
      text_windows(text.tokens.size(), std::size_t(flags.context_length), std::size_t(stride));
  if (flags.limit > 0) windows.resize(std::min(windows.size(), std::size_t(flags.limit)));
  return windows;
}

/// Scores the windows that `records` does not have yet.
void score_rest(EvaluatedModel& model, const Text& text, const std::vector<TextWindow>& windows,
                WindowRecords& records, ResultLog& log) {
  std::vector<std::size_t> numbers;
  std::vector<std::vector<TokenId>> sequences;
  for (std::size_t i = 0; i < windows.size(); ++i)
    if (!records.contains(std::int64_t(i))) {
      numbers.push_back(i);
      sequences.emplace_back(text.tokens.begin() + std::ptrdiff_t(windows[i].begin),
                             text.tokens.begin() + std::ptrdiff_t(windows[i].end));
    }
  ProgressBar bar("Perplexity");
  model.score(sequences, [&](std::size_t number, std::span<const double> logprobs) {
    const std::size_t i = numbers[number];
    const TextWindow& window = windows[i];
    const auto scored = logprobs.subspan(window.scored - window.begin);
    const WindowRecord record{std::int64_t(i), std::int64_t(window.begin),
                              std::int64_t(window.scored), std::int64_t(window.end),
                              -std::accumulate(scored.begin(), scored.end(), 0.0)};
    log.add(to_json(record));
    records[record.index] = record;
    bar.update(std::int64_t(records.size()), std::int64_t(windows.size()),
               fmt::format("perplexity {:.4f}", perplexity_of(records).perplexity()));
  });
  bar.finish();
}

}  // namespace

int run_perplexity(const PerplexityFlags& flags) {
  flags.log.check();
  const std::unique_ptr<EvaluatedModel> model = open_evaluated_model(*flags.model);
  const std::int64_t stride = flags.stride > 0 ? flags.stride : flags.context_length / 2;
  const Text text = read_text(flags.text, *model);
  const std::vector<TextWindow> windows = cut(flags, stride, text, *model);
  const json::object head = log_head(kPerplexityTask, {{"model", model->describe()},
                                                       {"text_sha256", text.sha256},
                                                       {"tokens_per_byte", text.tokens_per_byte},
                                                       {"context_length", flags.context_length},
                                                       {"stride", stride}});
  WindowRecords records;
  ResultLog log = open_log(flags.log, head, [&](const json::value& line, const std::string& where) {
    const WindowRecord record = read_window_record(line, where);
    records[record.index] = record;
  });
  const auto start = std::chrono::steady_clock::now();
  score_rest(*model, text, windows, records, log);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // The record of a longer run may hold more windows than this limit.
  std::erase_if(records,
                [&](const auto& entry) { return entry.first >= std::int64_t(windows.size()); });
  const Perplexity result = perplexity_of(records);
  const double bits = result.bits_per_byte(text.tokens_per_byte);
  if (flags.json != "-")
    fmt::print(
        "{}: {} tokens in {} windows of {}, stride {}\n\n"
        "perplexity          {:.6g}\n"
        "nats per token      {:.6f}  (standard error over windows {:.6f})\n"
        "bits per byte       {:.6f}\n"
        "tokens that count   {}\n\n{:.0f} s\n",
        flags.text.string(), text.tokens.size(), records.size(), flags.context_length, stride,
        result.perplexity(), result.nll, result.nll_stderr, bits, result.tokens, seconds);
  if (flags.json.empty()) return 0;
  json::object report = head;
  report["windows"] = records.size();
  report["tokens"] = result.tokens;
  report["nll_per_token"] = result.nll;
  report["nll_stderr"] = nullptr;
  if (std::isfinite(result.nll_stderr)) report["nll_stderr"] = result.nll_stderr;
  report["perplexity"] = result.perplexity();
  report["bits_per_byte"] = bits;
  report["seconds"] = seconds;
  write_report(report, flags.json);
  return 0;
}

}  // namespace isotope::cli
