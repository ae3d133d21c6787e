#!/usr/bin/env python3
"""GuideLLM, unmodified, over each protocol that it speaks, against `isotope serve`:

    python3 -m venv /tmp/guidellm && /tmp/guidellm/bin/pip install -r tools/requirements-guidellm.txt
    /tmp/guidellm/bin/python tests/clients/guidellm_counts.py --model models/SmolLM2-135M-Instruct-FP8

No request may fail, and token counts must agree: those of GuideLLM's report with the server's /metrics, and each prompt's with
transformers' tokenizer and chat template. Ends with 1 if anything is off.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import httpx
from transformers import AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from serving import serving  # noqa: E402

ENDPOINTS = ["/v1/completions", "/v1/chat/completions", "/v1/responses"]
COUNTERS = {"prompt": "vllm:prompt_tokens_total", "output": "vllm:generation_tokens_total"}


def counters(url):
    text = httpx.get(url + "/metrics", timeout=30).text
    return {kind: float(re.search(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE)[1]) for kind, name in COUNTERS.items()}


def benchmark(url, endpoint, flags, folder):
    """The requests of GuideLLM's report, by how they ended."""
    report = folder / f"{pathlib.Path(endpoint).name}.json"
    command = [pathlib.Path(sys.executable).with_name("guidellm"), "run",
               "--backend", f"kind=openai_http,target={url},model=local,request_format={endpoint}",
               "--profile", f"kind=concurrent,streams={flags.streams}", "--constraint", f"kind=max_requests,count={flags.requests}",
               "--tokenizer", f"kind=huggingface_auto,model={flags.model}",
               "--data", f"kind=synthetic_text,prompt_tokens={flags.prompt_tokens},output_tokens={flags.output_tokens}",
               "--output", f"kind=json,path={report}", "--disable-console"]
    subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return json.loads(report.read_text())["benchmarks"][0]["requests"]


def tokens_of_prompt(tokenizer, body):
    """By transformers: of what GuideLLM has sent."""
    if "prompt" in body:
        return len(tokenizer(body["prompt"])["input_ids"])
    parts = [part for message in body.get("messages") or body["input"] for part in message["content"]]
    messages = [{"role": "user", "content": "".join(part if isinstance(part, str) else part["text"] for part in parts)}]
    return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


def faults_of(requests, spent, flags, tokenizer):
    done = requests["successful"]
    faults = [f"{len(requests[kind])} requests {kind}" for kind in ("errored", "incomplete") if requests[kind]]
    if len(done) != flags.requests:
        faults.append(f"{len(done)} of {flags.requests} requests succeeded")
    for kind in COUNTERS:
        counted = sum(request[f"{kind}_tokens"] for request in done)
        if counted != spent[kind]:
            faults.append(f"GuideLLM counts {counted} {kind} tokens, the server {spent[kind]:.0f}")
    for request in done:
        expected = tokens_of_prompt(tokenizer, json.loads(request["request_args"])["body"])
        if request["prompt_tokens"] != expected:
            faults.append(f"a prompt has {request['prompt_tokens']} tokens, by transformers {expected}")
        if request["output_tokens"] != flags.output_tokens:
            faults.append(f"an answer has {request['output_tokens']} tokens, asked for were {flags.output_tokens}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope")),
                        help="default: $ISOTOPE_BINARY, or build/release/isotope")
    parser.add_argument("--model", required=True, type=os.path.abspath, help="folder of the model")
    parser.add_argument("--requests", type=int, default=16, help="over each protocol (%(default)s)")
    parser.add_argument("--streams", type=int, default=4, help="at a time (%(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--output-tokens", type=int, default=16)
    flags = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(flags.model)
    failed = False
    with tempfile.TemporaryDirectory() as folder, serving(flags.binary, flags.model, ["--served-model-name", "local"]) as url:
        for endpoint in ENDPOINTS:
            before = counters(url)
            requests = benchmark(url, endpoint, flags, pathlib.Path(folder))
            spent = {kind: after - before[kind] for kind, after in counters(url).items()}
            faults = faults_of(requests, spent, flags, tokenizer)
            print(f"{endpoint}: {len(requests['successful'])} requests, {spent['prompt']:.0f} prompt tokens, "
                  f"{spent['output']:.0f} output tokens: {'; '.join(faults) or 'no fault'}", flush=True)
            failed = failed or bool(faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
