#!/usr/bin/env python3
"""Load on a server of its own, with figures printed and every claim checked.

    load.py streams [COUNT]     COUNT (1000) streaming requests at once, twice: none fails, memory and descriptors return
    load.py vanish [COUNT]      COUNT (200) clients go away in the middle of their streams: everything is freed
    load.py soak [SECONDS]      SECONDS (600) of traffic at twice capacity, a third of it cancelled at random: every request
                                ends in a definite way, counters add up, /health answers in time

ISOTOPE_BINARY and ISOTOPE_TEST_MODEL choose program and model, as for the tests of tests/server. The client is one thread; it
and the server share the machine.
"""
import asyncio
import json
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "server"))
from real_server import Server  # noqa: E402

HEALTH_P99_SECONDS = 0.1


async def exchange(port, path, fields=None, on_data=None):
    """(status, body) of a request on a connection of its own. `on_data(bytes so far)` true: go away, status None."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = b"" if fields is None else json.dumps(fields).encode()
        head = f"{'GET' if fields is None else 'POST'} {path} HTTP/1.0\r\nHost: x\r\n"
        if fields is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        data = bytearray()
        while piece := await reader.read(65536):
            data += piece
            if on_data and on_data(data):
                writer.transport.abort()
                return None, bytes(data)
        head, _, rest = bytes(data).partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, rest
    finally:
        writer.close()


async def metrics(port):
    _, text = await exchange(port, "/metrics")
    return {name + (labels or ""): float(value)
            for name, labels, value in re.findall(r"^([\w:]+)(\{.*\})? (\S+)$", text.decode(), re.MULTILINE)}


def total(values, name, label=""):
    return sum(value for key, value in values.items() if key.split("{")[0] == name and label in key)


async def idle(port, seconds=60):
    """Waits until nothing runs, waits or holds blocks."""
    deadline = time.monotonic() + seconds
    while True:
        now = await metrics(port)
        busy = {name: total(now, name) for name in
                ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")}
        if not any(busy.values()):
            return now
        assert time.monotonic() < deadline, f"still busy after {seconds} s: {busy}"
        await asyncio.sleep(0.05)


class Health:
    """Asks for /health ten times a second."""

    def __init__(self, port):
        self.port, self.times = port, []

    async def __aenter__(self):
        self.task = asyncio.create_task(self.ask())
        return self

    async def ask(self):
        while True:
            begin = time.monotonic()
            status, _ = await exchange(self.port, "/health")
            assert status == 200
            self.times.append(time.monotonic() - begin)
            await asyncio.sleep(0.1)

    async def __aexit__(self, *_):
        if self.task.done():
            self.task.result()
        self.task.cancel()

    def percentile(self, p):
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * p))]

    def __str__(self):
        return (f"/health {len(self.times)} times: p50 {self.percentile(.5) * 1e3:.1f} ms, "
                f"p99 {self.percentile(.99) * 1e3:.1f} ms, most {max(self.times) * 1e3:.1f} ms")


def events(body):
    return [json.loads(line[6:]) for line in body.decode().splitlines()
            if line.startswith("data: {")]


def check_stream(status, body, tokens):
    assert status == 200, (status, body[:300])
    assert body.endswith(b"data: [DONE]\n\n"), body[-300:]
    last = events(body)[-1]
    assert last["usage"]["completion_tokens"] == tokens, last


def resources(values):
    return total(values, "process_resident_memory_bytes") / 2**20, total(values, "process_open_fds")


async def streams(port, count, tokens=48):
    fields = {"max_tokens": tokens, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    rounds = []
    for _ in range(2):
        before = await idle(port)
        begin = time.monotonic()
        async with Health(port) as health:
            answers = await asyncio.gather(*[
                exchange(port, "/v1/completions", {**fields, "prompt": f"Once upon a time {i}", "seed": i})
                for i in range(count)])
        seconds = time.monotonic() - begin
        for status, body in answers:
            check_stream(status, body, tokens)
        after = await idle(port)
        ended = total(after, "vllm:request_success_total", "length") - total(before, "vllm:request_success_total", "length")
        assert ended == count, ended
        (memory, descriptors), (memory_after, descriptors_after) = resources(before), resources(after)
        print(f"{count} streams of {tokens} tokens: {seconds:.1f} s, {count * tokens / seconds:.0f} tokens/s, 0 failed; "
              f"memory {memory:.0f} -> {memory_after:.0f} MiB, descriptors {descriptors:.0f} -> {descriptors_after:.0f}; "
              f"{health}")
        assert descriptors_after <= descriptors + 2
        rounds.append(memory_after)
    # The first round fills caches of the allocator; what grows in the second is lost.
    assert rounds[1] < rounds[0] + 8, f"memory grows: {rounds} MiB"


async def vanish(port, count):
    before = await idle(port)
    chance = random.Random(0)
    fields = {"max_tokens": 450, "ignore_eos": True, "stream": True, "prompt": "Once upon a time"}

    def leave_after(size):
        return lambda data: len(data) > size

    answers = await asyncio.gather(*[
        exchange(port, "/v1/completions", {**fields, "seed": i}, leave_after(chance.randrange(1, 5000)))
        for i in range(count)])
    assert all(status is None for status, _ in answers)
    begin = time.monotonic()
    after = await idle(port, seconds=10)
    seconds = time.monotonic() - begin
    aborted = total(after, "vllm:request_success_total", "abort") - total(before, "vllm:request_success_total", "abort")
    print(f"{count} clients gone: all idle {seconds:.2f} s later, {aborted:.0f} answers aborted; "
          f"descriptors {resources(before)[1]:.0f} -> {resources(after)[1]:.0f}")
    assert aborted == count
    assert resources(after)[1] <= resources(before)[1] + 2


class Soak:
    """Requests of all kinds at twice the rate that the server was seen to answer."""

    def __init__(self, port, seconds):
        self.port, self.seconds = port, seconds
        self.chance = random.Random(1)
        self.outcomes = {"whole": 0, "left": 0, "refused": 0, "timed out": 0}
        self.sent = self.answers = 0

    def fields(self):
        chance = self.chance
        fields = {"prompt": "Once upon a time " * chance.randrange(1, 8), "max_tokens": chance.randrange(1, 120),
                  "ignore_eos": True, "stream": chance.random() < 0.7, "seed": chance.randrange(1000),
                  "stream_options": {"include_usage": True}, "n": chance.choice([1, 1, 1, 1, 2, 8])}
        if not fields["stream"]:
            del fields["stream_options"]
        if chance.random() < 0.05:
            fields["timeout"] = chance.uniform(0.01, 1)
        return fields

    async def one(self, fields, leaves):
        limit = self.chance.randrange(1, 20_000)
        on_data = (lambda data: len(data) > limit) if leaves else None
        status, body = await exchange(self.port, "/v1/completions", fields, on_data)
        if status is None:
            kind = "left"
        elif status == 429:
            kind = "refused"
        elif status == 504 or b'"code":"timeout"' in body:
            kind = "timed out"
        else:
            assert status == 200, (status, body[:300])
            if fields["stream"]:
                check_stream(status, body, fields["max_tokens"] * fields["n"])
            else:
                assert json.loads(body)["usage"]["completion_tokens"] == fields["max_tokens"] * fields["n"]
            kind = "whole"
        self.outcomes[kind] += 1

    async def capacity(self):
        """Requests a second, with as many at a time as keep the batch full."""
        end = time.monotonic() + min(5.0, self.seconds / 4)
        done = 0

        async def client():
            nonlocal done
            while time.monotonic() < end:
                fields = self.fields()
                fields.pop("timeout", None)
                await self.one(fields, False)
                done += 1

        begin = time.monotonic()
        await asyncio.gather(*[client() for _ in range(40)])
        self.sent += done
        return done / (time.monotonic() - begin)

    async def run(self):
        start = await idle(self.port)
        rate = 2 * await self.capacity()
        tasks = set()
        begin = time.monotonic()
        async with Health(self.port) as health:
            while time.monotonic() < begin + self.seconds:
                await asyncio.sleep(self.chance.expovariate(rate))
                task = asyncio.create_task(self.one(self.fields(), self.chance.random() < 0.33))
                self.sent += 1
                tasks.add(task)
                task.add_done_callback(lambda done: (tasks.discard(done), done.result()))
            seconds = time.monotonic() - begin
            await asyncio.wait_for(asyncio.gather(*tasks), 120)
        end = await idle(self.port)

        def grown(name, label=""):
            return total(end, name, label) - total(start, name, label)

        ends = {reason: grown("vllm:request_success_total", reason) for reason in ("stop", "length", "abort", "error")}
        submitted = grown("isotope:requests_submitted_total")
        print(f"{seconds:.0f} s at {rate:.1f} requests/s (twice capacity): {self.sent} requests, {self.outcomes}; "
              f"{submitted:.0f} answers, {ends}; preempted {grown('vllm:num_preemptions_total'):.0f}; {health}; "
              f"memory {resources(start)[0]:.0f} -> {resources(end)[0]:.0f} MiB, "
              f"descriptors {resources(start)[1]:.0f} -> {resources(end)[1]:.0f}")
        assert sum(self.outcomes.values()) == self.sent, "a request has no end"
        assert sum(ends.values()) == submitted, "an answer has no end"
        assert submitted == sum(grown(f"isotope:requests_{end}_total") for end in ("finished", "cancelled", "timed_out"))
        assert ends["error"] == 0 and self.outcomes["whole"] > 0
        assert resources(end)[1] <= resources(start)[1] + 2
        # A short run asks too seldom to tell 1 of 100.
        assert health.percentile(0.99 if self.seconds >= 60 else 0.9) < HEALTH_P99_SECONDS, str(health)


async def soak(port, seconds):
    await Soak(port, seconds).run()


RUNS = {"streams": (streams, 1000, []),
        "vanish": (vanish, 200, []),
        "soak": (soak, 600, ["--max-queue-requests", "256"])}


def run(name, amount=None):
    function, usual, flags = RUNS[name]
    server = Server("--log-level", "warning", *flags)
    try:
        asyncio.run(function(server.port, usual if amount is None else amount))
    finally:
        assert server.stop() == 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in RUNS:
        sys.exit(__doc__)
    run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
