"""`isotope bench serve` and the server time the same answers, each on its side of the connection: `usage.ttft_ms` and `tpot_ms`
of `isotope serve` must be what the client measures, to 3 %.

Needs ISOTOPE_CHAT_MODEL: tokens of the tests' tiny model take less time than the way to the client.
"""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from serving import serving  # noqa: E402

BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
MODEL = os.environ.get("ISOTOPE_CHAT_MODEL")


@pytest.fixture(scope="module")
def url():
    if not MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    with serving(BINARY, MODEL) as url:
        yield url


@pytest.mark.parametrize("endpoint, concurrency", [("/v1/completions", 1), ("/v1/chat/completions", 4)])
def test_the_servers_own_figures_are_ours(url, endpoint, concurrency):
    done = subprocess.run(
        [BINARY, "bench", "serve", "--base-url", url, "--endpoint", endpoint, "--tokenizer", MODEL, "--random-input-len", "400",
         "--random-output-len", "16", "--num-prompts", str(4 + concurrency), "--max-concurrency",
         str(concurrency), "--ignore-eos", "--json", "-"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["success_rate"] == 1
    for name in ("ttft", "tpot"):
        ours, servers = result[f"mean_{name}_ms"], result[f"mean_server_{name}_ms"]
        print(f"{endpoint}, {concurrency} at a time, {name}: {ours:.2f} ms, the server's own {servers:.2f} ms, {ours / servers - 1:+.2%}")
        assert ours == pytest.approx(servers, rel=0.03), name
