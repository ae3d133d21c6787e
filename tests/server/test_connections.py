"""What happens below the protocol: connections, limits, clients that vanish or dawdle, and the end of the server."""
import json
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import openai
import pytest

from real_server import BINARY, MODEL, NAME, TEMPLATE, running

LONG = {"prompt": "Once upon a time", "n": 64, "max_tokens": 480, "ignore_eos": True}


def raw_request(path, body=None, method="POST", headers=""):
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def connect(server, **options):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60, **options)


def receive_until(connection, end, limit=1 << 20):
    data = b""
    while end not in data and len(data) < limit:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def wait_until_running(server):
    deadline = time.monotonic() + 30
    while server.metric("vllm:num_requests_running") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_vanished_client_frees_its_blocks(slow_server, stream, reset):
    cancelled = slow_server.metric("isotope:requests_cancelled_total")
    connection = connect(slow_server)
    connection.sendall(raw_request("/v1/completions", {**LONG, "stream": stream}))
    wait_until_running(slow_server)
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()
    slow_server.wait_until_idle(seconds=5)
    # Nearly all of the 64 answers were still to come.
    assert slow_server.metric("isotope:requests_cancelled_total") - cancelled > 32


def test_openai_client_that_closes_its_stream(slow_server):
    stream = slow_server.client().completions.create(
        model=NAME, prompt="Once", max_tokens=500, n=64, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    slow_server.wait_until_idle(seconds=5)


def test_slow_reader_disturbs_nobody(server):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(raw_request("/v1/completions", {**LONG, "stream": True}))
    begin = time.monotonic()
    for _ in range(5):
        answer = server.client().completions.create(model=NAME, prompt="Lily", max_tokens=20)
        assert answer.usage.completion_tokens == 20
    assert time.monotonic() - begin < 60
    # What was not read has waited, whole.
    data = receive_until(connection, b"data: [DONE]\n\n", limit=64 << 20)
    assert b"data: [DONE]\n\n" in data
    assert data.count(b'"finish_reason":"length"') == 64
    connection.close()


def test_keep_alive_and_pipelining(server):
    with connect(server) as connection:
        one = raw_request("/v1/completions", {"prompt": "Lily", "max_tokens": 2})
        connection.sendall(one + raw_request("/health", method="GET") + one)
        data = receive_until(connection, b"never", limit=1) + b""
        deadline = time.monotonic() + 30
        while data.count(b"HTTP/1.1 200 OK") < 3 or data.count(b"text_completion") < 2:
            assert time.monotonic() < deadline
            data += connection.recv(65536)
        first, health, last = (data.index(b"text_completion"), data.index(b'"status":"ok"'),
                               data.rindex(b"text_completion"))
        assert first < health < last


def test_request_in_small_pieces(server):
    with connect(server) as connection:
        for byte in raw_request("/v1/completions", {"prompt": "Lily", "max_tokens": 2}):
            connection.sendall(bytes([byte]))
        assert b"200 OK" in receive_until(connection, b"text_completion")


def test_chunked_body_and_expect(server):
    body = json.dumps({"prompt": "Lily", "max_tokens": 2}).encode()
    head = (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head)
        assert receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        for i in range(0, len(body), 7):
            piece = body[i:i + 7]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        assert b"200 OK" in receive_until(connection, b"text_completion")


def test_http_1_0_gets_plain_streams(server):
    request = raw_request("/v1/completions", {"prompt": "Lily", "max_tokens": 3, "stream": True})
    with connect(server) as connection:
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        data = receive_until(connection, b"never")
    assert b"chunked" not in data
    assert data.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("request_bytes, status", [
    (raw_request("/health", method="GET", headers="X: " + "a" * 70_000 + "\r\n"), 431),
    (b"GET /health HTTP/9.9\r\n\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
     b"Content-Length: 99999999999\r\n\r\n", 413),
    (b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
], ids=["header", "version", "nonsense", "target", "length", "body", "chunk"])
def test_unreadable_requests(server, request_bytes, status):
    with connect(server) as connection:
        connection.sendall(request_bytes)
        data = receive_until(connection, b"never")
    assert data.startswith(b"HTTP/1.1 %d " % status), data[:200]
    error = json.loads(data.partition(b"\r\n\r\n")[2])["error"]
    assert error["message"]
    assert httpx.get(server.url + "/health").status_code == 200


def test_oversized_body_is_refused_with_an_answer(server):
    answer = httpx.post(server.url + "/v1/completions", content=b" " * (40 << 20),
                        headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status_code == 413
    assert "bytes" in answer.json()["error"]["message"]


def test_large_prompts_do_not_stall_others(server):
    body = json.dumps({"prompt": "Once upon a time. " * 150_000}).encode()
    results = []

    def send():
        results.append(httpx.post(server.url + "/tokenize", content=body,
                                  headers={"Content-Type": "application/json"}, timeout=300))

    senders = [threading.Thread(target=send) for _ in range(3)]
    begin = time.monotonic()
    for sender in senders:
        sender.start()
    slowest = 0
    while any(sender.is_alive() for sender in senders):
        asked = time.monotonic()
        assert httpx.get(server.url + "/health", timeout=60).status_code == 200
        small = httpx.post(server.url + "/tokenize", json={"prompt": "Lily"}, timeout=60)
        assert small.status_code == 200
        slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.02)
    whole = time.monotonic() - begin
    assert [result.status_code for result in results] == [200] * 3
    assert results[0].json()["count"] > 150_000
    assert slowest < whole / 2


def test_many_idle_connections(server):
    idle = [connect(server) for _ in range(200)]
    assert httpx.get(server.url + "/health").status_code == 200
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_lets_running_requests_finish(stream):
    kept = 64  # answers one after another: enough that the signal finds some of them running
    server_context = running("--served-model-name", NAME, "--max-num-seqs", "1",
                             "--shutdown-timeout", "60")
    with server_context as server:
        result = {}

        def ask():
            fields = {"model": NAME, "prompt": "Once upon a time", "max_tokens": 200, "n": kept,
                      "extra_body": {"ignore_eos": True}}
            if stream:
                chunks = list(server.client().completions.create(stream=True, **fields))
                result["ends"] = [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason]
            else:
                answer = server.client().completions.create(**fields)
                result["ends"] = [choice.finish_reason for choice in answer.choices]

        asker = threading.Thread(target=ask)
        asker.start()
        wait_until_running(server)
        assert server.stop(seconds=60) == 0
        asker.join()
        assert result["ends"] == ["length"] * kept
        with pytest.raises(OSError):
            connect(server)


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_cancels_what_takes_too_long(stream):
    with running("--served-model-name", NAME, "--max-num-seqs", "1", "--shutdown-timeout", "1") as server:
        caught = []

        def ask():
            try:
                answer = server.client().completions.create(
                    model=NAME, prompt="Once", max_tokens=500, n=128, stream=stream,
                    extra_body={"ignore_eos": True})
                list(answer)
            except openai.APIError as error:
                caught.append(error)

        asker = threading.Thread(target=ask)
        asker.start()
        wait_until_running(server)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        assert time.monotonic() - begin < 10
        asker.join()
        assert len(caught) == 1 and "shutting down" in str(caught[0])


def test_sigint_with_nothing_to_do_is_quick():
    with running() as server:
        idle = connect(server)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - begin < 2
        idle.close()


def test_addresses_of_ipv6_are_told_as_urls_have_them():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running("--host", "::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(server.url + "/health").status_code == 200


def test_port_in_use_is_a_clear_error(server, tmp_path):
    result = subprocess.run([BINARY, "serve", "--model", MODEL, "--port", str(server.port)],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert str(server.port) in result.stderr


@pytest.mark.parametrize("path, ping", [("/v1/completions", ": ping"), ("/v1/messages", 'event: ping\ndata: {"type":"ping"}')])
def test_silent_streams_tell_that_they_live(path, ping):
    """A stream that waits behind others: proxies hear something, clients hear the same answer."""
    body = {"prompt": "Lily", "messages": [{"role": "user", "content": "Lily"}], "max_tokens": 5, "seed": 1, "stream": True}
    with running("--served-model-name", NAME, "--chat-template", TEMPLATE, "--max-num-seqs", "1",
                 "--stream-ping-interval", "0.05") as server:
        def ask():
            events = httpx.post(server.url + path, json=body, timeout=60).text.split("\n\n")
            return "".join(re.findall(r'"text":"([^"]*)"', "".join(events))), events.count(ping)

        text, _ = ask()
        others = [connect(server) for _ in range(12)]
        for other in others:
            other.sendall(raw_request("/v1/completions", {**LONG, "n": 1}))
        wait_until_running(server)
        waited, pings = ask()
        for other in others:
            other.close()
    assert pings > 1
    assert waited == text != ""
