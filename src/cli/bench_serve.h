// isotope bench serve: a load against any server that speaks OpenAI's protocol.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench/dataset.h"

namespace isotope::cli {

struct BenchServeFlags {
  std::string base_url, host = "127.0.0.1", endpoint = "/v1/completions", model, api_key;
  int port = 8000;
  DatasetOptions dataset;
  std::string tokenizer, extra_body, label;
  std::vector<std::int64_t> max_concurrency;  ///< empty: one point without a limit
  double request_rate = 0, burstiness = 1;    ///< rate 0: all at once
  double temperature = 0;
  bool ignore_eos = false, save_detailed = false, no_progress = false;
  std::int64_t num_warmups = 1, timeout = 600;
  std::vector<std::string> goodput, plots;
  std::vector<std::string> percentile_metrics = {"ttft", "tpot", "itl", "e2el"};
  std::vector<double> percentiles = {90, 99};
  std::string token_events = "choices";
  std::string json;  ///< a file; "-": standard output, instead of the tables
};

/// 0; 1 if no request succeeded; 130 after Ctrl-C, with what was measured till then.
int run_bench_serve(const BenchServeFlags& flags);

}  // namespace isotope::cli
