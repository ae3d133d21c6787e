"""`isotope eval` against servers whose answers are wrong: each ends with an error that says what came, in
bounded memory and time; what was answered before is kept, and a better server goes on with it."""
import http.server
import json
import os
import pathlib
import resource
import subprocess
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
MEMORY = 600 << 20  # bytes of address space; an endless answer must not take more


def completion(text=" 2\n#### 2", **fields):
    return {"choices": [{"text": text, "finish_reason": "stop"} | fields]}


class Answers(http.server.BaseHTTPRequestHandler):
    """The server's `good` first completions are right, the others as its `mode` says."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(json.dumps({"data": [{"id": "fake", "max_model_len": 4096}]}))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        if self.path == "/tokenize" and self.server.mode != "tokens":
            return self.reply(json.dumps({"tokens": [1, 2, 3]}))
        if self.server.good > 0:
            self.server.good -= 1
            return self.reply(json.dumps(completion()))
        getattr(self, self.server.mode)()

    def reply(self, body, status=200, length=None):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def silent(self):
        self.server.stopped.wait(30)

    def endless(self):
        self.reply(b'{"choices": [{"text": "', length=1 << 60)
        try:
            while not self.server.stopped.is_set():
                self.wfile.write(b"x" * (1 << 20))
        except OSError:
            self.close_connection = True

    def cut(self):
        self.reply(b'{"choices": [', length=1000)
        self.close_connection = True

    def no_json(self): self.reply("{nonsense")
    def half_utf8(self): self.reply(b'{"choices": [{"text": "\xc3"}]}')
    def half_surrogate(self): self.reply(r'{"choices": [{"text": "\ud800"}]}')
    def deep(self): self.reply("[" * 100000)
    def no_object(self): self.reply("[1]")
    def no_choices(self): self.reply('{"choices": []}')
    def no_text(self): self.reply('{"choices": [{"text": 7}]}')
    def counts(self): self.reply(json.dumps(completion() | {"usage": {"prompt_tokens": -1}}))
    def page(self): self.reply(b"<html>\x1b[31m\n" + b"\xff" * 100000, status=502)
    def tokens(self): self.reply('{"tokens": [1, -2]}')
    def no_logprobs(self): self.reply(json.dumps(completion()))
    def few_logprobs(self): self.reply(json.dumps(completion(prompt_logprobs=[None, {"2": {"logprob": -1}}])))
    def positive(self): self.reply(json.dumps(completion(prompt_logprobs=[None, {"2": {"logprob": 1}}, {"3": {"logprob": 1}}])))
    def other_tokens(self): self.reply(json.dumps(completion(prompt_logprobs=[None, {"9": {"logprob": -1}}, {"3": {"logprob": -1}}])))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.mode, server.good, server.requests, server.stopped = "no_json", 0, [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.stopped.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def data(tmp_path):
    for name in ["train.jsonl", "test.jsonl"]:
        (tmp_path / name).write_text("".join(json.dumps({"question": f"1 + {i}?", "answer": f"#### {i + 1}"}) + "\n" for i in range(3)))
    return tmp_path


def evaluate(*arguments):
    return subprocess.run([BINARY, "eval", *map(str, arguments)], capture_output=True, timeout=60,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))


def check_refused(done, expected):
    error = done.stderr.decode()  # UTF-8, whatever the server sent
    assert done.returncode == 1, error
    assert expected in error and "\x1b[31m" not in error, error
    assert len(error) < 2000, error


WRONG = [("silent", "no byte for 1 s"), ("endless", "exceeds 64 MiB"), ("cut", "closed in the middle"), ("no_json", "/v1/completions"),
         ("half_utf8", "/v1/completions"), ("half_surrogate", "/v1/completions"), ("deep", "/v1/completions"),
         ("no_object", "/v1/completions"), ("no_choices", "holds no choices"), ("no_text", "'text'"), ("counts", "prompt_tokens"),
         ("page", "HTTP 502")]


@pytest.mark.parametrize("mode, expected", WRONG, ids=[mode for mode, _ in WRONG])
def test_a_wrong_completion_ends_the_run_and_keeps_the_others(server, data, mode, expected):
    server.mode, server.good = mode, 1
    flags = ["gsm8k", "--base-url", server.url, "--data", data, "--num-fewshot", "1", "--concurrency", "1", "--timeout", "1",
             "--output", data / "run.jsonl"]
    check_refused(evaluate(*flags), expected)
    assert len((data / "run.jsonl").read_text().splitlines()) == 2
    server.good = 9
    done = evaluate(*flags, "--resume")
    assert done.returncode == 0, done.stderr
    answered = [json.loads(line)["index"] for line in (data / "run.jsonl").read_text().splitlines()[1:]]
    assert answered == [0, 1, 2]
    assert len(server.requests) == 4  # the first was not asked again
    assert evaluate(*flags, "--resume").returncode == 0 and len(server.requests) == 4


UNSCORED = [("tokens", "token ids"), ("no_logprobs", "gives no prompt_logprobs"), ("few_logprobs", "for 2 of 3 tokens"),
            ("positive", "logprob"), ("other_tokens", "prompt_logprobs[1]")]


@pytest.mark.parametrize("mode, expected", UNSCORED, ids=[mode for mode, _ in UNSCORED])
def test_wrong_log_probabilities_are_refused(server, data, mode, expected):
    server.mode = mode
    (data / "text.txt").write_text("some text")
    check_refused(evaluate("perplexity", data / "text.txt", "--base-url", server.url, "--context-length", "8"), expected)


def test_a_server_without_models_is_explained(server, data):
    server.RequestHandlerClass = type("Nothing", (Answers,), {"do_GET": lambda self: self.reply('{"data": []}')})
    check_refused(evaluate("gsm8k", "--base-url", server.url, "--data", data, "--num-fewshot", "1"), "lists no model; name one by --model")
