// GET /metrics: vLLM's names, labels and buckets, so that what was made for its metrics works here;
// ours begin with "isotope:".
#include <algorithm>

#include "server/endpoints.h"
#include "server/metrics_text.h"
#include "server/process_stats.h"
#include "server/request_stats.h"

namespace isotope::server {
namespace {

void put_engine(MetricsText& out, const engine::EngineStats& stats) {
  const double usage =
      double(stats.kv_blocks_held) / double(std::max<std::int64_t>(stats.kv_blocks_total, 1));
  const double looked_up = double(stats.prompt_tokens_computed + stats.prompt_tokens_cached);
  out.gauge("vllm:num_requests_running", "Answers in the batch.", double(stats.running));
  out.gauge("vllm:num_requests_waiting", "Answers waiting for a place in the batch.",
            double(stats.waiting));
  out.gauge("vllm:num_requests_swapped", "Always 0: nothing is swapped out.", 0);
  out.gauge("vllm:kv_cache_usage_perc", "KV cache blocks in use (1 = all).", usage);
  out.gauge("vllm:gpu_cache_usage_perc", "The former name of vllm:kv_cache_usage_perc.", usage);
  out.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
              looked_up);
  out.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
              double(stats.prompt_tokens_cached));
  out.counter("vllm:gpu_prefix_cache_queries_total",
              "The former name of vllm:prefix_cache_queries_total.", looked_up);
  out.counter("vllm:gpu_prefix_cache_hits_total",
              "The former name of vllm:prefix_cache_hits_total.",
              double(stats.prompt_tokens_cached));
  out.counter("vllm:num_preemptions_total", "Answers that gave up their place for a time.",
              double(stats.preemptions));
  out.counter("vllm:prompt_tokens_total", "Prompt tokens, computed or from the prefix cache.",
              looked_up);
  out.counter("vllm:generation_tokens_total", "Generated tokens.", double(stats.generated_tokens));
  out.histogram("vllm:iteration_tokens_total", "Tokens computed in one step.", stats.step_tokens);
  out.histogram("vllm:inter_token_latency_seconds", "From each token of an answer to the next.",
                stats.token_gaps);
  out.histogram("vllm:time_per_output_token_seconds",
                "The former name of vllm:inter_token_latency_seconds.", stats.token_gaps);
}

void put_requests(MetricsText& out, const RequestCounts& counts, double context) {
  out.counter("vllm:request_success_total", "Answers that have ended, by reason.");
  for (std::size_t i = 0; i < kEndNames.size(); ++i)
    out.sample(double(counts.ends[i]), {{"finished_reason", kEndNames[i]}});
  out.histogram("vllm:time_to_first_token_seconds", "From the tokenized prompt to the first token.",
                counts.first_token);
  out.histogram("vllm:request_time_per_output_token_seconds",
                "Mean time between tokens of an answer, after its first.", counts.token);
  out.histogram("vllm:e2e_request_latency_seconds", "From the tokenized prompt to the end.",
                counts.whole);
  out.histogram("vllm:request_queue_time_seconds", "Until the first step for an answer.",
                counts.queue);
  out.histogram("vllm:request_inference_time_seconds", "From the first step to the last token.",
                counts.inference);
  out.histogram("vllm:request_prefill_time_seconds", "From the first step to the first token.",
                counts.prefill);
  out.histogram("vllm:request_decode_time_seconds", "From the first token to the last.",
                counts.decode);
  out.histogram("vllm:request_prompt_tokens", "Prompt tokens of an answer.", counts.prompt_tokens,
                context);
  out.histogram("vllm:request_generation_tokens", "Generated tokens of an answer.",
                counts.generated_tokens, context);
  out.histogram("vllm:request_max_num_generation_tokens", "The longest of a request's answers.",
                counts.longest_answer, context);
  out.histogram("vllm:request_params_max_tokens", "What max_tokens was.", counts.max_tokens,
                context);
  out.histogram("vllm:request_params_n", "What n was.", counts.choices);
}

void put_info(MetricsText& out, const engine::EngineInfo& info, const Service& service) {
  out.gauge("vllm:cache_config_info", "How the KV cache is set up; always 1.");
  out.sample(1, {{"block_size", std::to_string(info.block_size)},
                 {"num_gpu_blocks", std::to_string(info.num_kv_blocks)},
                 {"cache_dtype", info.kv_dtype},
                 {"enable_prefix_caching", info.prefix_caching ? "True" : "False"}});
  out.gauge("isotope:build_info", "What serves; always 1.");
  out.sample(
      1, {{"version", service.state.version}, {"device", info.device}, {"family", info.family}});
}

void put_ours(MetricsText& out, const engine::EngineStats& stats, const RequestCounts& counts,
              const engine::EngineInfo& info) {
  out.gauge("isotope:waiting_tokens", "What waiting answers may need, prompts and max_tokens.",
            double(stats.waiting_tokens));
  out.counter("isotope:requests_submitted_total", "Answers handed to the engine.",
              double(stats.requests_submitted));
  out.counter("isotope:requests_finished_total", "Answers that the engine ended.",
              double(stats.requests_finished));
  out.counter("isotope:requests_cancelled_total",
              "Answers cancelled: by their client's leaving, at a stop string, at shutdown.",
              double(stats.requests_cancelled));
  out.counter("isotope:requests_timed_out_total", "Answers ended by their deadline.",
              double(stats.requests_timed_out));
  out.counter("isotope:requests_refused_total", "Requests refused because too many waited.",
              double(counts.refusals));
  out.counter("isotope:slow_readers_total", "Streams ended because they were not read.",
              double(counts.slow_readers));
  out.counter("isotope:steps_total", "Steps of the engine.", double(stats.steps));
  out.histogram("isotope:step_seconds", "Time of one step.", stats.step_seconds);
  out.counter("isotope:graph_replays_total", "Steps replayed from a captured graph.",
              double(stats.graph_replays));
  out.gauge("isotope:graphs", "Captured graphs.", double(info.graph_sizes.size()));
  out.gauge("isotope:kernels", "GPU kernels of the model.", double(info.start.kernels));
  out.gauge("isotope:kernels_compiled", "Of these compiled at start, not found in the cache.",
            double(info.start.kernels_compiled));
  out.gauge("isotope:start_seconds", "From the start to readiness.", info.start.total_seconds);
  out.gauge("isotope:weight_bytes", "Memory of the weights.", double(info.weight_bytes));
  out.gauge("isotope:kv_cache_bytes", "Memory of the KV cache.", double(info.kv_bytes));
}

void put_process(MetricsText& out) {
  const ProcessStats stats = process_stats();
  if (stats.cpu_seconds)
    out.plain_counter("process_cpu_seconds_total", "User and system time.", *stats.cpu_seconds);
  if (stats.start_seconds)
    out.plain_gauge("process_start_time_seconds", "Start, since 1970.", *stats.start_seconds);
  const auto gauge = [&](std::string_view name, std::string_view help,
                         const std::optional<std::int64_t>& value) {
    if (value) out.plain_gauge(name, help, double(*value));
  };
  gauge("process_virtual_memory_bytes", "Virtual memory.", stats.virtual_bytes);
  gauge("process_resident_memory_bytes", "Resident memory.", stats.resident_bytes);
  gauge("process_open_fds", "Open file descriptors.", stats.open_descriptors);
  gauge("process_max_fds", "File descriptors that may be open.", stats.max_descriptors);
}

}  // namespace

Response show_metrics(const Service& service) {
  const engine::Engine& engine = *service.model.engine;
  const engine::EngineStats stats = engine.stats();
  const RequestCounts counts = service.model.stats->counts();
  // vLLM has one engine a process or several, and numbers them.
  MetricsText out({{"model_name", service.limits.names.front()}, {"engine", "0"}});
  put_engine(out, stats);
  put_requests(out, counts, double(service.limits.context_tokens));
  put_info(out, engine.info(), service);
  put_ours(out, stats, counts, engine.info());
  put_process(out);
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = out.take()};
}

}  // namespace isotope::server
