"""Starts the real program, for tests and for programs that measure it.

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
