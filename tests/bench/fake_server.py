"""A scripted server of OpenAI's streams: what it sends, and when, is known.

Each request's prompt names its script, e.g. "steady"; the server notes when it read the request and when it wrote each
event, on the clock that the program under test uses too (CLOCK_MONOTONIC).
"""
import asyncio
import json
import threading
import time


class Exchange:
    def __init__(self, script, body):
        self.script, self.body = script, body
        self.received = time.monotonic()
        self.events = []  # when each event with a choice was written
        self.tokens = 0


def chunk(text="", finish=None, **extra):
    return {"id": "cmpl-1", "object": "text_completion",
            "choices": [{"index": 0, "text": text, "finish_reason": finish}], **extra}


def chat_chunk(delta, finish=None):
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def event(value, end="\n\n"):
    return b"data: " + json.dumps(value).encode() + end.encode()


class Writer:
    """Writes HTTP chunks."""

    def __init__(self, stream, exchange):
        self.stream, self.exchange = stream, exchange

    async def head(self, status="200 OK", content_type="text/event-stream", length=None, extra=""):
        framing = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
        self.stream.write(f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{framing}\r\n{extra}\r\n".encode())
        await self.stream.drain()

    async def raw(self, data):
        self.stream.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.stream.drain()

    async def token(self, value, end="\n\n"):
        await self.raw(event(value, end))
        self.exchange.events.append(time.monotonic())
        self.exchange.tokens += 1

    async def end(self, done=True):
        if done:
            await self.raw(b"data: [DONE]\n\n")
        self.stream.write(b"0\r\n\r\n")
        await self.stream.drain()

    async def usage(self, **extra):
        usage = {"prompt_tokens": 7, "completion_tokens": self.exchange.tokens, **extra}
        await self.raw(event({"choices": [], "usage": usage}))


async def answer_json(writer, status, value, extra=""):
    data = json.dumps(value).encode()
    await writer.head(status, "application/json", len(data), extra)
    writer.stream.write(data)
    await writer.stream.drain()


# Scripts. Each returns whether the connection stays open.

async def steady(writer, first=0.05, gap=0.02, count=8):
    await writer.head()
    await asyncio.sleep(first)
    for i in range(count):
        await writer.token(chunk(f" t{i}", "length" if i == count - 1 else None))
        if i < count - 1:
            await asyncio.sleep(gap)
    await writer.usage()
    await writer.end()
    return True


async def slow(writer):
    return await steady(writer, first=0.2, gap=0.1, count=4)


async def one_token(writer):
    return await steady(writer, count=1)


async def forever(writer):
    await writer.head()
    for _ in range(600):
        await writer.token(chunk(" x"))
        await asyncio.sleep(0.05)


async def endless(writer):
    await writer.head()
    while True:
        await writer.raw(event(chunk("x")) * 10000)


async def torn(writer):
    """The same events, cut into HTTP chunks at every byte, with CRLF, comments, other fields and no space."""
    await writer.head()
    data = b": ping\r\n\r\n"
    for i in range(3):
        data += b"event: x\r\nid: 4\r\ndata:" + json.dumps(chunk(f" ü{i}")).encode() + b"\r\n\r\n"
    data += event(chunk("", "stop"), "\r\r") + event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    for i in range(len(data)):
        await writer.raw(data[i:i + 1])
    writer.exchange.tokens = 3
    await writer.raw(b"data: [DONE]")  # and nothing after it
    await writer.end(done=False)
    return True


async def no_usage(writer):
    await writer.head()
    for i in range(5):
        await asyncio.sleep(0.01)
        await writer.token(chunk(f" t{i}", "length" if i == 4 else None))
    await writer.end()
    return True


async def llama_cpp(writer):
    """A role long before the first token, the counts in the last choice's event, times of its own."""
    await writer.head()
    await writer.token(chat_chunk({"role": "assistant", "content": None}))
    await asyncio.sleep(0.1)
    for i in range(4):
        await writer.token(chat_chunk({"content": f" t{i}"}))
        await asyncio.sleep(0.02)
    last = chat_chunk({}, "stop")
    last["usage"] = {"prompt_tokens": 7, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
    last["timings"] = {"prompt_ms": 100.0, "predicted_per_token_ms": 20.0}
    await writer.token(last)
    await writer.end()
    return True


async def isotope(writer):
    await writer.head()
    await asyncio.sleep(0.05)
    for i in range(4):
        await writer.token(chunk(f" t{i}", "length" if i == 3 else None))
        await asyncio.sleep(0.02)
    await writer.usage(ttft_ms=50.0, tpot_ms=20.0)
    await writer.end()
    return True


async def cut(writer):
    await writer.head()
    await writer.token(chunk(" t"))
    writer.stream.write(b"ff\r\ndata: half")
    await writer.stream.drain()


async def error_event(writer):
    await writer.head()
    await writer.token(chunk(" t"))
    await writer.raw(event({"error": {"message": "the engine stopped", "code": 500}}))
    await writer.end()
    return True


async def unfinished(writer):
    await writer.head()
    await writer.token(chunk(" t"))
    await writer.end(done=False)
    return True


async def too_many(writer):
    await answer_json(writer, "429 Too Many Requests", {"error": {"message": "queue full"}}, "Retry-After: 1\r\n")
    return True


async def broken(writer):
    await answer_json(writer, "500 Internal Server Error", {"detail": "oops\nsecond line"})
    return True


async def odd_reason(writer):
    writer.stream.write(b"HTTP/1.1 503 Busy\xff\r\nContent-Length: 3\r\n\r\n\x1b\xc3\n")
    await writer.stream.drain()
    return True


async def odd_type(writer):
    await writer.head(content_type="text/\xff", length=0)
    return True


async def whole(writer):
    await answer_json(writer, "200 OK", chunk("all at once", "stop"))
    return True


async def closes_late(writer):
    """Promises to keep the connection open and does not."""
    await steady(writer, first=0, gap=0, count=2)


async def silent(writer):
    await asyncio.sleep(30)


async def gone(writer):
    pass


async def garbage(writer):
    writer.stream.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await writer.stream.drain()


async def no_json(writer):
    await writer.head()
    await writer.raw(b"data: {nonsense\n\n")
    await writer.end()
    return True


async def huge_length(writer):
    await writer.head(length=1 << 62)
    writer.stream.write(event(chunk(" t")))
    await writer.stream.drain()


class FakeServer:
    def __init__(self):
        self.exchanges, self.connections, self.open = [], 0, 0
        self.peak = 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096))
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()
            self.loop.run_forever()
            self.loop.close()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        started.wait()
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self):
        """Closes all connections, then ends the thread."""

        async def end():
            self.server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(timeout=10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=10)

    async def serve(self, reader, stream):
        self.connections += 1
        try:
            while await self.serve_one(reader, stream):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            stream.close()

    async def serve_one(self, reader, stream):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        length = int(next(line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")))
        body = json.loads(await reader.readexactly(length) or b"{}")
        if path.endswith("/v1/models"):
            await answer_json(Writer(stream, None), "200 OK", {"data": [{"id": "fake"}]})
            return True
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        exchange = Exchange(prompt.split()[0], body)
        exchange.head = head
        self.exchanges.append(exchange)
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            return await globals()[exchange.script](Writer(stream, exchange))
        finally:
            self.open -= 1
