#!/usr/bin/env python3
"""Follows README.md, the installation, the quick start and the recipe of the default model word for word on a fresh Debian 12.

    tools/try_newcomer.py --hub-model models/SmolLM2-135M-Instruct [--without-tests]

The machine has what debootstrap's smallest Debian has, and git; every command comes from the pages as it stands there, `sudo` left
out and port 8000 another one if it is taken, and is printed with the time that it took. The hub is one on this machine with the model that is given. Needs what
tools/fresh_debian.py needs, and a network for apt and pip.
"""
import argparse
import contextlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/pull")]
import check_docs  # noqa: E402
import fresh_debian  # noqa: E402
import hub_server  # noqa: E402

PAGES = ("docs/quick-start.md", "recipes/default-model.md")
PID_FILE = "/run/newcomer.pid"
HUB_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def port_to_use():
    """8000, as the pages have it, if it is free on this machine, whose network it is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in (8000, 0):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    raise AssertionError("no port is free")


class Newcomer:
    def __init__(self, machine, hub, folder):
        self.machine = machine
        self.environment = {"HF_ENDPOINT": hub.url, "CCACHE_DIR": "/var/cache/ccache"}
        self.folder = folder
        self.port = port_to_use()
        self.server = None

    def adapted(self, text):
        text = re.sub(r"(?m)^sudo ", "", text)
        return re.sub(r"(?<=:)8000\b|(?<=--port )8000\b", str(self.port), text)

    def type(self, text):
        """A command, which must succeed; returns what it printed."""
        text = self.adapted(text)
        print(f"$ {text}", flush=True)
        begun = time.monotonic()
        output = self.machine.run(f"set -e; cd {self.folder}; {text}", environment=self.environment)
        lines = output.splitlines()
        shown = lines if len(lines) <= 12 else lines[:4] + [f"… ({len(lines) - 8} lines)"] + lines[-4:]
        print("".join(f"    {line[:200]}\n" for line in shown) + f"    ({time.monotonic() - begun:.1f} s)", flush=True)
        return output

    def serve(self, text, seconds=600):
        """A command that stays, until it says that it serves."""
        self.stop()
        text = self.adapted(text if "--port" in text else f"{text} --port 8000")
        print(f"$ {text} &", flush=True)
        begun = time.monotonic()
        self.server = subprocess.Popen(self.machine.command(f"cd {self.folder}; echo $$ > {PID_FILE}; exec {text}", self.environment),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in self.server.stdout:
            if line.startswith("Serving"):
                print(f"    {line.rstrip()}\n    ({time.monotonic() - begun:.1f} s)", flush=True)
                return
        raise AssertionError(f"{text} ended with {self.server.wait()}")

    def stop(self):
        if self.server:
            self.machine.run(f"kill $(cat {PID_FILE})", check=False)
            self.server.wait()
            self.server = None

    def follow(self, block):
        text = "\n".join(block.lines)
        if block.marker == "run: serve":
            self.serve(text)
            return ""
        return self.type(text)


def commands(page):
    return [block for block in page.blocks if block.language in check_docs.SHELL]


def walk(newcomer, with_tests):
    readme = commands(check_docs.read_page(ROOT / "README.md"))
    first, second = readme[0].commands()
    newcomer.type(first)
    if with_tests:
        output = newcomer.type(second)
        if not re.search(r"^\d+ passed, 0 failed$", output, re.MULTILINE):
            raise AssertionError("the tests do not all pass")
    newcomer.type(first)
    newcomer.serve(first.split(" --prompt")[0])
    newcomer.follow(readme[1])
    newcomer.stop()
    newcomer.follow(commands(check_docs.read_page(ROOT / "docs/install.md"))[0])
    for name in PAGES:
        output = ""
        page = check_docs.read_page(ROOT / name)
        print(f"\n# {name}\n", flush=True)
        for block in page.blocks:
            if block.language in check_docs.SHELL and "./quickstart" not in "\n".join(block.lines):
                output = newcomer.follow(block)
            elif block.marker == "output" and not check_docs.matches(block.lines, output):
                raise AssertionError(f"{name}:{block.line}: the output is\n{output}")
        newcomer.stop()


def model_files(folder):
    return {file.name: hub_server.File(file.read_bytes(), large=file.suffix == ".safetensors")
            for file in sorted(folder.iterdir()) if file.suffix in (".json", ".safetensors", ".jinja")}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--hub-model", type=Path, required=True, help="folder of SmolLM2-135M-Instruct in BF16")
    arguments.add_argument("--without-tests", action="store_true", help="leave ./test out, which takes longest")
    arguments.add_argument("--ccache", type=Path, metavar="DIR", help="a compiler's cache to build with, for one who is in a hurry")
    arguments = arguments.parse_args()
    reason = fresh_debian.missing()
    if reason:
        print(f"skipped: {reason}")
        return 0
    hub = hub_server.Hub(model_files(arguments.hub_model), repo=HUB_MODEL)
    with hub_server.running(hub), fresh_debian.machine() as machine:
        source = machine.root / "srv/source"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, source], check=True)
        machine.start(boot=False, binds=[(arguments.ccache.resolve(), "/var/cache/ccache")] if arguments.ccache else [])
        newcomer = Newcomer(machine, hub, folder="/srv")
        newcomer.type("apt-get update && apt-get install -y git")
        newcomer.folder = "/srv/source"
        try:
            walk(newcomer, not arguments.without_tests)
        finally:
            newcomer.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
