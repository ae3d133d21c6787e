"""No request hurts another: queue, deadlines, priorities, slow readers, slow senders, descriptors; and what the log says."""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import httpx
import openai
import pytest

from real_server import BINARY, CHAT_MODEL, MODEL, NAME, running
from test_connections import LONG, connect, raw_request, receive_until, wait_until_running


def post(server, **fields):
    return httpx.post(server.url + "/v1/completions", json=fields, timeout=60)


def occupy(server, **fields):
    """A request that runs until its connection is closed."""
    connection = connect(server)
    connection.sendall(raw_request("/v1/completions", {**LONG, "stream": True, **fields}))
    wait_until_running(server)
    return connection


@pytest.fixture(scope="module")
def tight_server():
    """With the larger model: the small one answers before a queue can be seen."""
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    with running("--served-model-name", NAME, "--max-num-seqs", "1", "--max-queue-requests", "2",
                 "--max-queue-tokens", "900", "--scheduling-policy", "priority", "--no-enable-prefix-caching",
                 model=CHAT_MODEL) as started:
        yield started


def test_full_queue_is_refused_with_the_time_to_wait(tight_server):
    with occupy(tight_server, n=3, max_tokens=200):
        answer = post(tight_server, prompt="Once", max_tokens=5)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 600
        error = answer.json()["error"]
        assert error["type"] == "rate_limit_error" and error["code"] == "queue_full" and "answers" in error["message"]
        assert httpx.get(tight_server.url + "/health").status_code == 200
    tight_server.wait_until_idle()
    assert post(tight_server, prompt="Once", max_tokens=5).status_code == 200
    assert tight_server.metric("isotope:requests_refused_total") >= 1


def test_token_limit_of_the_queue(tight_server):
    with occupy(tight_server, n=2, max_tokens=480):
        answer = post(tight_server, prompt="Once", max_tokens=480)
        assert answer.status_code == 429 and "tokens" in answer.json()["error"]["message"]
    tight_server.wait_until_idle()


def test_more_answers_than_may_ever_wait(tight_server):
    answer = post(tight_server, prompt="Once", n=4, max_tokens=5)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"


def test_priority_overtakes(tight_server):
    ends = []

    def ask(name, priority, max_tokens=20):
        fields = {"prompt": name, "max_tokens": max_tokens, "ignore_eos": True, "priority": priority}
        assert post(tight_server, **fields).status_code == 200
        ends.append(name)

    threads = [threading.Thread(target=ask, args=("late", 5, 300))]
    threads[0].start()
    wait_until_running(tight_server)
    for name, priority in (("later", 9), ("urgent", -5)):
        threads.append(threading.Thread(target=ask, args=(name, priority)))
        threads[-1].start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert ends.index("urgent") < ends.index("later")


def test_priority_without_its_policy_is_refused(server):
    answer = post(server, prompt="Once", max_tokens=2, priority=1)
    assert answer.status_code == 400 and "--scheduling-policy" in answer.json()["error"]["message"]
    assert post(server, prompt="Once", max_tokens=2, priority=0).status_code == 200


def test_a_request_of_128_choices_holds_up_no_other(slow_server):
    with occupy(slow_server, n=128):
        begin = time.monotonic()
        assert post(slow_server, prompt="Lily", max_tokens=3).status_code == 200
        # One place: without taking turns this waits for 128 answers of 480 tokens.
        assert time.monotonic() - begin < 5
    slow_server.wait_until_idle()


@pytest.mark.parametrize("stream", [False, True])
def test_deadline_says_why(slow_server, stream):
    begin = time.monotonic()
    answer = post(slow_server, **{**LONG, "n": 128, "stream": stream, "timeout": 0.5})
    assert 0.3 < time.monotonic() - begin < 20
    if stream:
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        error = json.loads(events[-2])["error"]
    else:
        assert answer.status_code == 504
        assert answer.headers["x-should-retry"] == "false"  # or OpenAI's client asks again
        error = answer.json()["error"]
    assert error["code"] == "timeout" and error["param"] == "timeout" and "tokens" in error["message"]
    slow_server.wait_until_idle(seconds=5)


def test_request_timeout_of_the_server():
    with running("--request-timeout", "0.3") as server:
        answer = post(server, **{**LONG, "n": 128, "timeout": 100})
        assert answer.status_code == 504
        assert post(server, prompt="Once", max_tokens=2).status_code == 200


def test_slow_reader_is_cancelled_at_the_bound():
    with running("--max-stream-buffer", "100000", "--max-num-seqs", "4") as server:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(raw_request("/v1/completions", {**LONG, "n": 128, "stream": True, "logprobs": 20}))
        deadline = time.monotonic() + 60
        while server.metric("isotope:slow_readers_total") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.wait_until_idle(seconds=10)
        connection.close()


def test_slow_senders_do_not_keep_connections():
    with running("--header-timeout", "1") as server, connect(server) as connection, connect(server) as idle:
        begin = time.monotonic()
        with pytest.raises(OSError):
            for byte in b"POST /v1/completions HTTP/1.1\r\nX: " + b"a" * 1000:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
        assert 0.5 < time.monotonic() - begin < 10
        idle.sendall(raw_request("/health", method="GET"))  # waiting without having begun is allowed
        assert b"200 OK" in receive_until(idle, b"\r\n\r\n")


def test_connections_beyond_the_limit_get_an_answer():
    with running("--max-connections", "3") as server:
        held = [connect(server) for _ in range(3)]
        time.sleep(0.3)
        with connect(server) as one_more:
            assert receive_until(one_more, b"\r\n\r\n").startswith(b"HTTP/1.1 503 ")
        held[0].close()
        time.sleep(0.3)
        assert httpx.get(server.url + "/health", timeout=10).status_code == 200
        for connection in held:
            connection.close()


def test_out_of_descriptors_the_server_lives_on():
    """With the limit of open files lowered under a running server, accepting fails; later it works again."""
    with running() as server:
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        in_use = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (in_use + 2, limits[1]))
        held = [connect(server) for _ in range(10)]
        time.sleep(1.5)
        used = time.process_time()
        assert server.process.poll() is None
        for connection in held:
            connection.close()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        assert httpx.get(server.url + "/health", timeout=20).status_code == 200
        assert time.process_time() - used < 5


def test_ready_ends_at_once_and_health_does_not():
    with running("--served-model-name", NAME, "--max-num-seqs", "1", "--shutdown-timeout", "30") as server:
        assert httpx.get(server.url + "/ready").status_code == 200
        with occupy(server, n=128):
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 5
            while httpx.get(server.url + "/ready", timeout=10).status_code != 503:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert httpx.get(server.url + "/health", timeout=10).status_code == 200
            assert post(server, prompt="Once", max_tokens=2).status_code == 503
        assert server.process.wait(timeout=20) == 0


TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextlib.contextmanager
def logging(log, form):
    """The URL of a server that logs to a file, and has stopped at the end."""
    with open(log, "wb") as stderr:
        process = subprocess.Popen([BINARY, "serve", "--model", MODEL, "--port", "0", "--log-format", form],
                                   stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            yield re.search(r"http://[\w.:]+", process.stdout.readline()).group()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def test_who_goes_away_with_the_whole_stream_was_served(tmp_path):
    log = tmp_path / "log"
    body = json.dumps({"prompt": "Once", "max_tokens": 2, "stream": True}).encode()
    with logging(log, "json") as url:
        host, port = url.removeprefix("http://").split(":")
        for _ in range(100):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
                data = b""
                while not data.endswith(b"0\r\n\r\n"):
                    data += client.recv(65536)
    statuses = [line["status"] for line in map(json.loads, log.read_text().splitlines()) if "status" in line]
    assert statuses == [200] * 100


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_tells_what_each_request_took(form, tmp_path):
    log = tmp_path / "log"
    with logging(log, form) as url:
        answer = httpx.post(url + "/v1/completions", timeout=60, json={"prompt": "Once upon", "max_tokens": 5,
                                                                       "ignore_eos": True},
                            headers={"X-Request-Id": "my-id", "tracestate": "a=b",
                                     "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
        assert answer.headers["traceresponse"].startswith(f"00-{TRACE}-")
        httpx.get(url + "/health")
        httpx.post(url + "/v1/completions", json={"max_tokens": 5}, headers={"traceparent": "nonsense"})
    lines = log.read_text().splitlines()
    if form == "json":
        lines = [json.loads(line) for line in lines]
        assert all({"time", "level", "room", "message"} <= set(line) for line in lines)
        requests = [line for line in lines if line["message"] == "POST /v1/completions"]
        good, bad = requests
        assert good["status"] == 200 and good["request_id"] == "my-id" and good["completion_tokens"] == 5
        assert good["finish_reason"] == "length" and good["ms"] >= good["ttft_ms"] > 0 and good["tpot_ms"] > 0
        assert good["trace_id"] == TRACE and good["parent_span_id"] == "b7ad6b7169203331"
        assert good["tracestate"] == "a=b" and good["prompt_tokens"] > 0 and good["cached_tokens"] == 0
        assert bad["status"] == 400 and "prompt" in bad["error"] and "trace_id" not in bad
    else:
        good, bad = [line for line in lines if "POST /v1/completions" in line]
        assert " status=200 " in good and " request_id=my-id " in good and f" trace_id={TRACE} " in good
        assert " completion_tokens=5 " in good and " finish_reason=length" in good
        assert ' error="prompt' in bad
    assert not any("/health" in str(line) for line in lines)  # probes would fill it
