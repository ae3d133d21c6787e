"""Chromium for the tests of the chat page, and a server whose answers the test writes."""

import contextlib
import http.server
import json
import os
import pathlib
import queue
import shutil
import threading
import time

import httpx
from playwright.sync_api import sync_playwright

HELPERS = pathlib.Path(__file__).with_name("web")
STATUS = {
    "object": "status",
    "models": ["fake-model", "other-name"],
    "version": "0",
    "family": "llama",
    "device": "cpu",
    "max_model_len": 4096,
    "default_sampling": {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0},
    "thinking_switch": True,
    "kv_cache": {"tokens_total": 1000, "tokens_held": 250},
    "requests": {"running": 1, "waiting": 0},
}
VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(`violates ${event.violatedDirective}: ${event.blockedURI}`));
"""


@contextlib.contextmanager
def chromium():
    """Debian's, because Playwright's own comes from elsewhere."""
    program = os.environ.get("ISOTOPE_CHROMIUM") or shutil.which("chromium")
    assert program, "the tests of the chat page need Debian's package chromium (or ISOTOPE_CHROMIUM)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def wait_until(page, condition, seconds=15):
    """As Playwright's wait_for_function, which the page's security policy does not let evaluate anything. `condition` is
    an expression of the page's or a function of the test's."""
    deadline = time.monotonic() + seconds
    while not (condition() if callable(condition) else page.evaluate(condition)):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


@contextlib.contextmanager
def visit(browser, url, expected_errors=(), **context_options):
    """A page in a browser of its own, which must not complain about anything but `expected_errors`."""
    context_options.setdefault("viewport", {"width": 1200, "height": 800})
    context = browser.new_context(**context_options)
    context.add_init_script(VIOLATIONS)
    complaints = []
    outside = []

    def watch(page):
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                outside.append(request.url) if not request.url.startswith((url, "blob:" + url, "data:")) else None
            ),
        )

    context.on("page", watch)
    page = context.new_page()
    page.set_default_timeout(15000)
    page.goto(url + "/")
    wait_until(page, "document.title !== 'Isotope'")
    try:
        yield page
        unexpected = [text for text in complaints if not any(part in text for part in expected_errors)]
        assert not unexpected, unexpected
        assert not outside, outside
    finally:
        context.close()


class FakeServer(http.server.ThreadingHTTPServer):
    """The page's files and headers as the real server sends them; answers to chats as the test wants them.

    `script` holds what to answer next: a list of events (dicts, or strings to send as they are), a number to wait for
    `go()`, or an error as (status, body). What was asked is in `requests`."""

    daemon_threads = True

    def __init__(self, real_url):
        self.real = httpx.Client(base_url=real_url)
        self.script = queue.Queue()
        self.gate = threading.Semaphore(0)
        self.requests = []
        self.key = None
        self.gone = threading.Event()  # a client has left in the middle of an answer
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reset(self):
        self.requests.clear()
        self.gone.clear()
        while self.gate.acquire(blocking=False):
            pass

    def answer(self, *events):
        self.script.put(list(events))

    def go(self, count=1):
        for _ in range(count):
            self.gate.release()

    def handle_error(self, request, client_address):
        pass  # clients leave in the middle on purpose


WAIT = object()


def delta(**fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def finish(reason="stop"):
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def usage(completion=7, prompt=11, cached=4, ttft=42.0, tpot=10.0):
    return {
        "choices": [],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "ttft_ms": ttft,
            "tpot_ms": tpot,
        },
    }


class FakeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, content_type, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reply_json(self, status, value, headers=()):
        self.reply(status, "application/json", json.dumps(value).encode(), headers)

    def is_allowed(self):
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self.reply_json(401, {"error": {"message": "the key is wrong or missing"}})
        return False

    def do_GET(self):
        if self.path == "/v1/status":
            if self.is_allowed():
                self.reply_json(200, STATUS)
        elif self.path.startswith("/web/test/"):
            self.reply(200, "text/javascript", (HELPERS / self.path.rsplit("/", 1)[1]).read_bytes())
        else:
            real = self.server.real.get(self.path)
            kept = [
                (name, value)
                for name, value in real.headers.items()
                if name.lower() in ("content-security-policy", "x-content-type-options")
            ]
            self.reply(real.status_code, real.headers["Content-Type"], real.content, kept)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.is_allowed():
            return
        self.server.requests.append(json.loads(body))
        events = self.server.script.get(timeout=10)
        if isinstance(events[0], tuple):
            status, value, *headers = events[0]
            self.reply_json(status, value, headers)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.stream(events)
        except OSError:
            self.server.gone.set()
        self.close_connection = True

    def stream(self, events):
        for event in events:
            if event is WAIT:
                while not self.server.gate.acquire(timeout=0.05):
                    self.wfile.write(b": still here\n\n")
                continue
            data = event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
            self.wfile.write(data.encode())
        if events[-1] != "":  # an empty text at the end: the connection breaks
            self.wfile.write(b"data: [DONE]\n\n")


def say(page, text):
    page.fill("#input", text)
    page.keyboard.press("Enter")


def stored(page):
    """The conversations that the browser keeps, as their messages' texts by title."""
    conversations = page.evaluate(
        """() => new Promise((resolve, reject) => {
      const opened = indexedDB.open(`isotope-chat ${location.pathname}`);
      opened.onerror = () => reject(opened.error);
      opened.onsuccess = () => {
        const read = opened.result.transaction("conversations").objectStore("conversations").getAll();
        read.onsuccess = () => { opened.result.close(); resolve(read.result); };
        read.onerror = () => reject(read.error);
      };
    })"""
    )
    return {each["title"]: [message["content"] for message in each["messages"]] for each in conversations}


def answers(page):
    return page.locator(".assistant .markdown")


def wait_idle(page):
    page.wait_for_selector("#send:visible")
    wait_until(page, "!document.querySelector('.running')")
