#!/usr/bin/env python3
"""The figures of vLLM's `bench serve` (calculate_metrics), computed with numpy from the times of each request.

  isotope bench serve ... --save-detailed --json result.json
  python tests/bench/vllm_figures.py result.json

computes each figure of the file again from its raw event times and exits with 1 if any differs.
"""
import json
import sys

import numpy as np

PERCENTILES = (90, 99)


def figures_of_times(ttfts, latencies, itls, output_lens, percentiles=PERCENTILES):
    """The latencies, in milliseconds, from lists by request in seconds."""
    tpots = [(latency - ttft) / (n - 1) for latency, ttft, n in zip(latencies, ttfts, output_lens) if n > 1]
    figures = {}
    for name, values in {"ttft": ttfts, "tpot": tpots, "itl": np.concatenate(itls), "e2el": latencies}.items():
        values = np.asarray(values) * 1000
        if not len(values):
            values = np.zeros(1)  # as vLLM's `values or 0`
        figures[f"mean_{name}_ms"] = np.mean(values)
        figures[f"median_{name}_ms"] = np.median(values)
        figures[f"std_{name}_ms"] = np.std(values)
        for p in percentiles:
            figures[f"p{p}_{name}_ms"] = np.percentile(values, p)
    return figures


def figures_of_result(result, goodput=None):
    """Every figure of a --save-detailed result, from its raw times."""
    good_ones = [i for i, error in enumerate(result["errors"]) if not error and result["event_times"][i]]
    events = [np.array(result["event_times"][i]) for i in good_ones]
    starts = np.array([result["start_times"][i] for i in good_ones])
    inputs, outputs = ([result[name][i] for i in good_ones] for name in ("input_lens", "output_lens"))
    ttfts = [times[0] - start for times, start in zip(events, starts)]
    latencies = [times[-1] - start for times, start in zip(events, starts)]
    figures = figures_of_times(ttfts, latencies, [np.diff(times) for times in events], outputs)
    duration = result["duration"]
    figures.update(completed=len(good_ones), total_input_tokens=sum(inputs), total_output_tokens=sum(outputs),
                   request_throughput=len(good_ones) / duration, output_throughput=sum(outputs) / duration,
                   total_token_throughput=(sum(inputs) + sum(outputs)) / duration)
    if goodput:
        tpots = [(e - t) / (n - 1) if n > 1 else 0 for e, t, n in zip(latencies, ttfts, outputs)]
        lists = {"ttft": ttfts, "tpot": tpots, "e2el": latencies}
        good = np.all([np.array(lists[name]) <= limit / 1000 for name, limit in goodput.items()], axis=0)
        figures["request_goodput"] = good.sum() / duration
    seconds = np.floor(np.concatenate(events) - starts.min()).astype(int)
    figures["max_output_tokens_per_s"] = np.bincount(seconds).max()
    edges = sorted([(start, 1) for start in starts] + [(times[-1], -1) for times in events])
    figures["max_concurrent_requests"] = np.cumsum([change for _, change in edges]).max()
    return figures


def main():
    with open(sys.argv[1]) as file:
        saved = json.load(file)
    wrong = 0
    for result in saved.get("results", [saved]):
        for name, value in figures_of_result(result).items():
            same = np.isclose(result[name], value, rtol=1e-9, atol=1e-9)
            wrong += not same
            print(f"{name:26} {result[name]:14.4f} {value:14.4f} {'' if same else '  differs'}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
