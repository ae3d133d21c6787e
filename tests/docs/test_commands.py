"""Runs the commands of the documentation that are marked `<!-- run -->` (tools/check_docs.py explains the markers).

The blocks of a page run in order in one folder of its own, in which `isotope` is the program, the repository's files are there
as in its root, and the names that stand for a model's folder in the text (DIR, models/SmolLM2-135M-Instruct-FP8) are the default
model. Port 8000 becomes a free one, the home folder an empty one, and the hub is out of reach.
"""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_docs  # noqa: E402

BINARY = pathlib.Path(os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))).resolve()
CHAT_MODEL = os.environ.get("ISOTOPE_CHAT_MODEL")
SECONDS = 180
MODEL_NAMES = ("DIR", "SmolLM2-135M-Instruct-FP8", "models/SmolLM2-135M-Instruct-FP8")

# Commands of ours in blocks that are not run here: at least their flags and values must be right.
OTHERS = [(f"{page.name}:{block.line}", command) for page in check_docs.pages() for block in page.blocks
          if block.language in check_docs.SHELL and not block.marker.startswith("run")
          for command in block.commands() if re.match(r"(build/release/)?isotope ", command) and "..." not in command]
PAGES = [page for page in check_docs.pages() if any(block.marker.startswith("run") for block in page.blocks)]


class Walk:
    """A reader who types what a page says, in a folder of their own."""

    def __init__(self, folder):
        self.work = folder / "work"
        self.home = folder / "home"
        programs = folder / "bin"
        for made in (self.work / "models", self.home, programs):
            made.mkdir(parents=True)
        (programs / "isotope").symlink_to(BINARY)
        for entry in ROOT.iterdir():
            if entry.name not in ("models", "build") and not entry.name.startswith("."):
                (self.work / entry.name).symlink_to(entry)
        for file in (ROOT / "tests/data/configs").glob("*.config.json"):
            made = self.work / file.name.removesuffix(".config.json")
            made.mkdir()
            (made / "config.json").symlink_to(file)
        for name in MODEL_NAMES:
            (self.work / name).symlink_to(pathlib.Path(CHAT_MODEL).resolve())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.home), "LC_ALL": "C.UTF-8",
                            "HF_HUB_OFFLINE": "1", "ISOTOPE_CACHE": str(self.home / "kernels")}
        self.server = None

    def start(self, block, stdout=subprocess.PIPE, stderr=None):
        text = "\n".join(re.sub(r"^\$ ", "", line) for line in block.lines)
        text = re.sub(r"(?<=:)8000\b|(?<=--port )8000\b", str(self.port), text)
        if "isotope serve" in text and "--port" not in text:
            text = text.replace("isotope serve", f"isotope serve --port {self.port}")
        interpreter = [sys.executable] if block.language == "python" else ["bash", "-e", "-o", "pipefail"]
        return subprocess.Popen([*interpreter, "-c", text], cwd=self.work, env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, start_new_session=True)

    def run(self, block):
        """Returns exit code and output, of both streams if it fails as the page says."""
        process = self.start(block, stderr=subprocess.STDOUT if "exit" in block.marker else None)
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output

    def serve(self, block):
        self.stop()
        self.server = self.start(block, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.server.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self.port}/ready").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{block.lines}: the server is not ready (exit code {self.server.poll()})")

    def stop(self):
        if self.server is None:
            return
        if self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGTERM)
        code = self.server.wait(timeout=30)
        self.server = None
        assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path):
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    walk = Walk(tmp_path)
    output = ""
    try:
        for block in page.blocks:
            where = f"{page.name}:{block.line}"
            if block.marker == "run: serve":
                walk.serve(block)
            elif block.marker.split(":")[0] == "run":
                wanted = int((re.search(r"exit (\d+)", block.marker) or [0, 0])[1])
                code, output = walk.run(block)
                assert code == wanted, f"{where} ended with {code}: {output}"
            elif block.marker == "output":
                assert check_docs.matches(block.lines, output), f"{where}: the output is\n{output}"
    finally:
        walk.stop()


@pytest.mark.parametrize("where, command", OTHERS)
def test_command_line(where, command, tmp_path):
    """In an empty folder, with no hub and no server, a command gets as far as to miss its model; 2 is a mistake in its flags."""
    text = f'isotope() {{ "{BINARY}" "$@"; }}; {command.removeprefix("build/release/")}'
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode in (0, 1), f"{where}: {done.stdout}{done.stderr}"
