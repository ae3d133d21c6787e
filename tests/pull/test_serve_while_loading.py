"""The server answers while its model is loaded: a hub that stops in the middle of a file is a load without end."""
import contextlib
import queue
import re
import signal
import socket
import threading

import httpx
import pytest

import hub_server

LOADING = "the model is still loading"


@pytest.fixture
def gate(hub):
    """Until it is set, no file arrives whole."""
    event = threading.Event()
    hub.after = lambda _: event.wait()
    yield event
    event.set()


@contextlib.contextmanager
def serving(puller, *flags):
    """The process, its client and a queue of its lines on standard output; it listens, and its model is not there."""
    process = puller.start("--model", puller.hub.repo, "--port", "0", *flags, verb="serve")
    lines = queue.Queue()
    try:
        for line in process.stderr:
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=30) as http:
            yield process, http, lines
    finally:
        process.kill()
        process.wait()


def test_only_probes_are_answered_before_the_model_is_there(puller, gate):
    with serving(puller, "--api-key", "secret") as (process, http, lines):
        assert http.get("/health").json() == {"status": "ok"}
        ready = http.get("/ready")
        assert ready.status_code == 503 and ready.json() == {"status": "loading"}
        assert http.get("/version").status_code == 200
        assert "<html" in http.get("/").text

        key = {"Authorization": "Bearer secret"}
        chat = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
        for answer in (http.get("/v1/models", headers=key), http.get("/metrics"), http.get("/v1/status", headers=key),
                       http.post("/v1/chat/completions", json=chat, headers=key)):
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
            assert answer.json()["error"]["code"] == "model_loading"
            assert LOADING in answer.json()["error"]["message"]
        message = http.post("/v1/messages", json=chat, headers=key)
        assert message.status_code == 503 and message.json()["error"]["type"] == "overloaded_error"
        # What is wrong in any case is said at once.
        assert http.get("/v1/models").status_code == 401
        assert http.get("/nothing").status_code == 404

        gate.set()
        assert "Serving" in lines.get(timeout=60)
        assert http.get("/ready").json() == {"status": "ready"}
        answer = http.post("/v1/completions", json={"prompt": "Once", "max_tokens": 2}, headers=key)
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_a_signal_ends_the_load(puller, gate):
    with serving(puller) as (process, http, _):
        assert http.get("/health").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == -signal.SIGTERM


def test_a_load_that_fails_ends_the_server(puller, hub, gate):
    hub.files["config.json"] = hub_server.File(b"{")
    with serving(puller) as (process, http, _):
        assert http.get("/ready").status_code == 503
        gate.set()
        assert process.wait(timeout=30) == 1


def test_a_port_in_use_is_told_before_anything_is_loaded(puller, hub):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = puller.run("--model", hub.repo, "--port", str(taken.getsockname()[1]), verb="serve", timeout=30)
    assert process.returncode == 1 and "cannot listen on" in process.err
    assert not hub.requests
