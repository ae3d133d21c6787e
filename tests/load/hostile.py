#!/usr/bin/env python3
"""Hostile requests at random, against a server of its own:

    hostile.py [COUNT] [SEED]    COUNT (500) requests: bodies of every endpoint with something in them spoiled, and bytes that are
                                 hardly HTTP

Each must be answered in a definite way: with what was asked for, or an error of the protocol's form; never with 500, never by silence,
never by the end of the server. What a stream begins it ends. Afterwards nothing runs, and memory and descriptors are bounded.

ISOTOPE_BINARY and ISOTOPE_TEST_MODEL (or ISOTOPE_CHAT_MODEL, if it is set) choose program and model, as for the tests of tests/server.
"""
import asyncio
import copy
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "server"))
from real_server import CHAT_MODEL, MODEL, TEMPLATE, running  # noqa: E402
from load import metrics, total  # noqa: E402

AT_A_TIME = 8
LONGEST = 1024  # tokens: what has lost its limit goes on to the end of the context
ANSWERED = {200, 400, 401, 403, 404, 405, 413, 415, 429, 431, 504}
USER = [{"role": "user", "content": "Where is it?"}]
FUNCTION = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "array", "items": {"type": "number"}}},
          "required": ["a"]}
SAMPLING = {"temperature": 1.5, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "seed": 1, "repetition_penalty": 1.1, "presence_penalty": 0.5,
            "logit_bias": {"5": 3}, "stop_token_ids": [7], "min_tokens": 3, "ignore_eos": True, "max_tokens": 20,
            "stream": False, "priority": 0, "timeout": 20, "user": "u", "metadata": {"a": "b"}}
CHAT = {"model": None, "messages": USER, "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto",
        "parallel_tool_calls": True, "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        "logprobs": True, "top_logprobs": 3, "n": 2, "stop": ["zz"], "enable_thinking": True, "thinking_budget": 5,
        "chat_template_kwargs": {"x": 1}, "stream_options": None, **SAMPLING}
COMPLETION = {"prompt": "Once upon", "echo": True, "logprobs": 2, "n": 2, "best_of": 3, "stop": ["zz"], "prompt_logprobs": 1,
              "structured_outputs": {"regex": "[a-z]{2,9}( [a-z]+)*"}, "add_special_tokens": True, **SAMPLING}
REQUESTS = [
    ("/v1/chat/completions", CHAT), ("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION), ("/v1/completions", COMPLETION),
    ("/v1/responses", {"input": "Where?", "instructions": "Be brief.", "max_output_tokens": 20, "tools": [{"type": "function", **FUNCTION}],
                       "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}, "reasoning": {"effort": "low"},
                       "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]}}),
    ("/v1/messages", {"messages": USER, "max_tokens": 20, "system": "Be brief.", "stop_sequences": ["zz"], "tool_choice": {"type": "any"},
                      "tools": [{"name": "add", "input_schema": FUNCTION["parameters"]}], "thinking": {"type": "disabled"}}),
    ("/v1/messages/count_tokens", {"messages": USER}),
    ("/tokenize", {"prompt": "Once upon", "add_special_tokens": True, "return_token_strs": True}),
    ("/detokenize", {"tokens": [1, 2, 3, 4]}),
]
DEEP = json.loads("[" * 60 + "]" * 60)
VALUES = [None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**53 + 1, 2**63 - 1, -2**63, 1e308, 5e-324, "", "x", "\0", "é€😀", "\u202e\ufeff",
          "<|im_end|>", "</s>", "<tool_call>", "{{ messages }}", "%s%n", "../../etc/passwd", "a" * 70000, "(a|b)*" * 50, "[" * 300,
          [], {}, [None], [[]], {"": ""}, [1] * 3000, ["stop"] * 64, DEEP, {"type": "object"}, {"$ref": "#"}, {"anyOf": [{"$ref": "#"}]},
          {"type": "string", "pattern": "(x+x+)+y"}, {"type": "integer", "minimum": 1e300}, {"role": "user", "content": "x"}]
TEXTS = [b"NaN", b"-Infinity", b"1e99999", b"0x1", b'"\\ud800"', b'"\xff\xfe"', b"01", b"[1,]", b"{,}", b'{"a":1,"a":2}', b"/**/1",
         b"1" * 5000, b"[" * 5000, b'"' + b"\\u0000" * 2000 + b'"', b""]
MARK = "spoiled-here"


def places(value, path=()):
    """Of everything within a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        found += places(member, (*path, key))
    return found


def put(value, path, member):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = member


def spoiled_body(draw):
    """(path, body)"""
    path, body = draw.choice(REQUESTS)
    body = copy.deepcopy(body)
    for name in list(body):  # not all at once, so that many get past the first check
        if name not in ("prompt", "messages", "input", "tokens", "max_tokens") and draw.random() < 0.6:
            del body[name]
    if draw.random() < 0.4 and path.startswith("/v1/"):
        body["stream"] = True
        body.pop("best_of", None)
    kind = draw.random()
    if kind < 0.15:
        return path, json.dumps(body).encode()  # as it should be
    where = draw.choice(places(body))
    if kind < 0.75:
        put(body, where, draw.choice(VALUES))
        return path, json.dumps(body, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    put(body, where, MARK)
    text = json.dumps(body).encode().replace(f'"{MARK}"'.encode(), draw.choice(TEXTS))
    if kind > 0.95:
        text = text[:draw.randrange(len(text))]
    return path, text


def raw_bytes(draw):
    """Bytes that are hardly a request."""
    body = b'{"prompt":"Once","max_tokens":1}'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    length = b"Content-Length: %d\r\n" % len(body)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    return draw.choice([
        head + length + length + b"\r\n" + body,
        head + length + b"Content-Length: 3\r\n\r\n" + body,
        head + length + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + smuggled,
        head + b"Transfer-Encoding: chunked\r\n" + length + b"\r\n" + chunk + smuggled,
        head + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk,
        head + b"Transfer-Encoding: chunked, identity\r\n\r\n" + chunk,
        head + b"Transfer-Encoding:\tchunked\r\n\r\n" + chunk,
        head + b"Transfer-Encoding : chunked\r\n\r\n" + chunk,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"fffffffffffffffff\r\n" + body,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"-1\r\n" + body,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"%x;a=%s\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), b"b" * 3000, body)),
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 3000,
        head + b"Content-Length: -1\r\n\r\n" + body, head + b"Content-Length: +5\r\n\r\n" + body,
        head + b"Content-Length: 18446744073709551616\r\n\r\n" + body, head + b"Content-Length: 0x20\r\n\r\n" + body,
        head + length + b"Expect: 100-continue\r\n\r\n" + body, head + length + b"Expect: magic\r\n\r\n" + body,
        head + length + b"X-Request-Id: " + draw.choice([b"\xe2\x82\xac", b"a b", b"x" * 200, b"\x01", b"\"'"]) + b"\r\n\r\n" + body,
        head + length + b"Authorization: Bearer " + b"k" * 5000 + b"\r\n\r\n" + body,
        head + length + b"traceparent: 00-" + b"f" * 32 + b"-" + b"0" * 16 + b"-zz\r\n\r\n" + body,
        head + length + b"Origin: http://a\r\nOrigin: http://b\r\n\r\n" + body,
        head + length + b"X: a\r\n folded\r\n\r\n" + body, head + length + b": no name\r\n\r\n" + body,
        head + length + b"".join(b"X%d: y\r\n" % i for i in range(2000)) + b"\r\n" + body,
        head + length + b"X: " + b"y" * 70000 + b"\r\n\r\n" + body,
        b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"GET /v1/models/" + b"%2e%2e%2f" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /web/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /health\r\n\r\n", b"GET /health HTTP/1.1\nHost: x\n\n", b"\r\n\r\nGET /health HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", bytes(draw.randrange(256) for _ in range(200)),
        smuggled * 100, head + length + b"\r\n" + body[:5],
    ])


async def talk(port, data):
    """What comes back until the server is silent for a moment or closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    try:
        writer.write(data)
        writer.write_eof()  # nothing follows: so it is not the server that waits
        while piece := await asyncio.wait_for(reader.read(1 << 16), 60):
            answer += piece
    except ConnectionError:
        pass  # the server may close with bytes unread
    finally:
        writer.close()
    return bytes(answer)


def fault_of_answer(answer, path):
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "no answer"
    status = int(head.split()[1])
    if status not in ANSWERED:
        return f"status {status}"
    if status != 200:
        return None if json.loads(body)["error"]["message"] else "an error without a message"
    if b"text/event-stream" not in head:
        return None if isinstance(json.loads(body), dict) else "no object"
    end = {"/v1/messages": b"event: message_stop", "/v1/responses": b"event: response."}.get(path, b"data: [DONE]")
    return None if end in body and b"internal" not in body else "a stream without an end"


async def ask(port, draw):
    """(what was sent, what is wrong with the answer)"""
    if draw.random() < 0.25:
        data = raw_bytes(draw)
        answer = await talk(port, data)
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        wrong = [status for status in statuses if status not in ANSWERED | {100}]
        if b"smuggled" in answer and not data.startswith(b"GET /smuggled"):
            wrong.append("smuggled")
        return data, wrong or None
    path, body = spoiled_body(draw)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    data = head.encode() + body
    answer = await talk_and_listen(port, data)
    try:
        return data, fault_of_answer(dechunked(answer), path)
    except (ValueError, KeyError) as error:
        return data, f"{error!r} in {answer[:300]}"


async def talk_and_listen(port, data):
    """As talk, without closing our side: a client whose side is closed has gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(-1), 120)
    finally:
        writer.close()


def dechunked(answer):
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return answer
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]
    return head + b"\r\n\r\n" + bytes(body)


async def attack(port, count, seed):
    """All faults."""
    faults = []
    numbers = iter(range(count))

    async def worker():
        for number in numbers:
            data, fault = await ask(port, random.Random(f"{seed} {number}"))
            if fault:
                faults.append((number, fault, data[:300]))

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))
    return faults


def main(count=500, seed=0):
    chat = CHAT_MODEL is not None
    flags = ["--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"] if chat else ["--chat-template", TEMPLATE]
    if chat:
        flags += ["--max-model-len", str(LONGEST)]
    with running(*flags, model=CHAT_MODEL or MODEL) as server:
        asyncio.run(attack(server.port, 20, "warm up"))
        before = asyncio.run(metrics(server.port))
        begin = time.monotonic()
        faults = asyncio.run(attack(server.port, count, seed))
        seconds = time.monotonic() - begin
        server.wait_until_idle(60)
        after = asyncio.run(metrics(server.port))
    for number, fault, data in faults:
        print(f"request {number}: {fault}: {data}")
    memory, files = ([total(values, name) for values in (before, after)] for name in ("process_resident_memory_bytes", "process_open_fds"))
    print(f"{count} hostile requests in {seconds:.1f} s: {len(faults)} answered wrongly; "
          f"memory {memory[0] / 2**20:.0f} -> {memory[1] / 2**20:.0f} MiB, descriptors {files[0]:.0f} -> {files[1]:.0f}")
    if files[1] > files[0] + AT_A_TIME:
        print("descriptors are left open")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
