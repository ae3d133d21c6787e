"""Starts the real program and lends clients to the tests.

ISOTOPE_BINARY      the program (default: build/release/isotope)
ISOTOPE_TEST_MODEL  model of the protocol tests (default: tests/data/stories260K, whose answers a reference knows)
ISOTOPE_CHAT_MODEL  instruct model of the chat tests; without it they are skipped
"""
import contextlib
import os
import pathlib
import queue
import re
import signal
import subprocess
import threading
import time

import httpx
import openai
import pytest

import tiny_models
from browser import FakeServer, chromium, visit

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
MODEL = os.environ.get("ISOTOPE_TEST_MODEL", str(ROOT / "tests/data/stories260K"))
CHAT_MODEL = os.environ.get("ISOTOPE_CHAT_MODEL")
START_SECONDS = 180
NAME = "stories"
TEMPLATE = str(pathlib.Path(__file__).with_name("chat.jinja"))


class Server:
    """A running `isotope serve`; `prefix` are words in front of the program."""

    def __init__(self, *flags, model=MODEL, prefix=()):
        command = [*prefix, BINARY, "serve", "--model", model, "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = queue.Queue()

        def read():
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while True:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, f"{command} ended with {self.process.wait()}"
            found = re.search(r"http://[\w.:\[\]]+:(\d+)", line)
            if found:
                break
        self.port = int(found.group(1))
        self.url = found[0].replace("0.0.0.0", "127.0.0.1")

    def client(self, key="unused"):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, timeout=120)

    def metric(self, name):
        text = httpx.get(self.url + "/metrics", timeout=30).text
        return float(re.search(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE).group(1))

    def wait_until_idle(self, seconds=30):
        """Until nothing runs, waits or holds blocks."""
        names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]
        deadline = time.monotonic() + seconds
        while True:
            values = {name: self.metric(name) for name in names}
            if not any(values.values()):
                return
            assert time.monotonic() < deadline, f"still busy after {seconds} s: {values}"
            time.sleep(0.02)

    def stop(self, seconds=30):
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextlib.contextmanager
def running(*flags, model=MODEL, prefix=()):
    server = Server(*flags, model=model, prefix=prefix)
    try:
        yield server
    finally:
        code = server.stop()
    assert code == 0


@pytest.fixture(scope="session")
def server():
    with running("--served-model-name", NAME, "--chat-template", TEMPLATE) as started:
        yield started


@pytest.fixture(scope="session")
def slow_server():
    """One sequence at a time, so that many answers take long; the prefix cache is off, so that blocks in use are those
    of running requests."""
    with running("--served-model-name", NAME, "--max-num-seqs", "1", "--no-enable-prefix-caching",
                 "--shutdown-timeout", "1") as started:
        yield started


@pytest.fixture(scope="session")
def chat_server():
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    with running(model=CHAT_MODEL) as started:
        yield started


@pytest.fixture(scope="session", params=["qwen3", "ministral3"])
def family(request, tmp_path_factory):
    """A server of one of the two families that reason and call tools: a real tokenizer and template, random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    model = getattr(tiny_models, request.param)(folder)
    with running("--load-format", "dummy", "--served-model-name", "tiny", model=model) as started:
        started.name = request.param
        yield started


@pytest.fixture(scope="session")
def client(server):
    return server.client()


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as session:
        yield session


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def fake(server):
    started = FakeServer(server.url)
    yield started
    started.shutdown()


@pytest.fixture
def page(browser, fake):
    fake.reset()
    with visit(browser, fake.url) as visited:
        yield visited
