"""A hub of models on this machine, with the faults that networks and servers have.

It speaks what `isotope pull` and huggingface_hub use of the protocol: the list of files, HEAD and GET of
/org/name/resolve/COMMIT/FILE with ETag, X-Linked-Etag and X-Repo-Commit, ranges, and redirects of large files to a second
origin, which stands for the content network.
"""
import contextlib
import hashlib
import json
import random
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "beef"


class File:
    """Large files are known by their SHA-256 and served by the content network, small ones by git's SHA-1."""

    def __init__(self, content, large=False):
        self.content = content
        self.large = large
        header = b"blob %d\0" % len(content)
        self.etag = (hashlib.sha256(content) if large else hashlib.sha1(header + content)).hexdigest()


class Hub:
    def __init__(self, files, repo="org/model", seed=0):
        self.repo = repo
        self.files = files
        self.commit = COMMIT
        self.revisions = {"main": COMMIT, "v1": COMMIT, COMMIT: COMMIT}
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.requests = []  # (origin, method, path, headers)
        self.sent = 0  # bytes of contents
        # Faults; each is a number of times, or a setting that stays.
        self.cuts = 0  # connections that break at a random byte
        self.busy = 0  # answers 429 with Retry-After: 1
        self.errors = 0  # answers 503
        self.wrong = 0  # contents with a wrong byte
        self.pages = 0  # an HTML page with status 200 instead of content
        self.short = 0  # a Content-Length that is too small
        self.ranges = True
        self.redirect_host = None  # a redirect of contents to this origin instead of the content network
        self.loop = False  # redirects that never end
        self.token = None  # what gated files want
        self.delay = 0.0  # seconds between pieces of 64 KiB
        self.after = None  # called with the bytes sent so far

    def take(self, fault):
        with self.lock:
            left = getattr(self, fault)
            setattr(self, fault, max(0, left - 1))
            return left > 0

    def contents(self):
        """GETs that asked for contents, not for redirects to them."""
        return [r for r in self.requests if r[0] == "cdn" and r[1] == "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def hub(self):
        return self.server.hub

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        with hub.lock:
            hub.requests.append((self.server.origin, self.command, path, dict(self.headers)))
        if hub.take("busy"):
            return self.reply(429, Retry_After=1)
        if hub.take("errors"):
            return self.reply(503)
        if hub.loop:
            return self.reply(302, Location=self.path)
        if self.server.origin == "cdn":
            return self.send_content(hub.files[path.removeprefix("/blob/")])
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            with_token = "Authorization" in self.headers
            return self.reply(403 if with_token else 401, X_Error_Code="GatedRepo", X_Error_Message="gated")
        if match := re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path):
            return self.list(*match.groups())
        if match := re.fullmatch(r"/api/models/(.+?)/tree/([^/]+)", path):
            return self.tree(*match.groups())
        if match := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            return self.resolve(*match.groups())
        return self.reply(404)

    def known(self, repo, revision):
        if repo != self.hub.repo:
            self.reply(401, X_Error_Code="RepoNotFound")
        elif revision not in self.hub.revisions:
            self.reply(404, X_Error_Code="RevisionNotFound")
        else:
            return True
        return False

    def list(self, repo, revision):
        if self.known(repo, revision):
            files = [{"rfilename": name} for name in self.hub.files]
            body = {"id": repo, "sha": self.hub.revisions[revision], "siblings": files}
            self.reply(200, json.dumps(body).encode(), Content_Type="application/json")

    def tree(self, repo, revision):
        if self.known(repo, revision):
            body = []
            for name, file in self.hub.files.items():
                entry = {"type": "file", "path": name, "size": len(file.content), "oid": file.etag}
                if file.large:
                    entry["lfs"] = {"oid": file.etag, "size": len(file.content), "pointerSize": 130}
                body.append(entry)
            self.reply(200, json.dumps(body).encode(), Content_Type="application/json")

    def resolve(self, repo, revision, name):
        if not self.known(repo, revision):
            return None
        file = self.hub.files.get(name)
        if file is None:
            return self.reply(404, X_Error_Code="EntryNotFound")
        commit = self.hub.revisions[revision]
        if file.large:
            target = (self.hub.redirect_host or self.server.cdn) + "/blob/" + urllib.parse.quote(name)
            return self.reply(302, Location=target, X_Repo_Commit=commit, X_Linked_Size=len(file.content),
                              X_Linked_Etag=f'"{file.etag}"', ETag='"of-the-redirect"')
        return self.send_content(file, X_Repo_Commit=commit, ETag=f'"{file.etag}"')

    def send_content(self, file, **headers):
        hub, content, status = self.hub, file.content, 200
        if self.command == "HEAD":
            return self.reply(200, Content_Length=len(content), **headers)
        faulty = self.server.origin == "cdn"
        if faulty and hub.take("pages"):
            return self.reply(200, b"<html><body>Please log in</body></html>", Content_Type="text/html")
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and hub.ranges:
            first = int(match[1])
            last = min(int(match[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first:last + 1], 206
        if faulty and content and hub.take("wrong"):
            content = bytes([content[0] ^ 1]) + content[1:]
        length = len(content) // 2 if faulty and hub.take("short") else len(content)
        end = hub.random.randrange(len(content)) if faulty and len(content) > 1 and hub.take("cuts") else length
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.send_slowly(content[:end])
        if end < length:
            self.close_connection = True

    def send_slowly(self, content):
        for at in range(0, len(content), 65536):
            piece = content[at:at + 65536]
            self.wfile.write(piece)
            with self.hub.lock:
                self.hub.sent += len(piece)
            if self.hub.after:
                self.hub.after(self.hub.sent)
            if self.hub.delay:
                time.sleep(self.hub.delay)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that vanish are part of the tests
        pass


@contextlib.contextmanager
def running(hub):
    """Serves `hub` at hub.url, and its contents at hub.cdn: another origin, because the port differs."""
    servers = []
    for origin in ("cdn", "hub"):
        server = Server(("127.0.0.1", 0), Handler)
        server.hub, server.origin = hub, origin
        server.cdn = f"http://127.0.0.1:{servers[0].server_port}" if servers else None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    hub.cdn, hub.url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
