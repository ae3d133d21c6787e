"""A hub with a small model, and `isotope pull` against it."""
import hashlib
import os
import pathlib
import random
import signal
import subprocess

import hub_server
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("ISOTOPE_BINARY", ROOT / "build/release/isotope"))
STORIES = ROOT / "tests/data/stories260K"
LARGE = random.Random(7).randbytes(36 << 20)  # three parts of 16 MiB


def model_files():
    """A model that can be served, and what its repository holds besides."""
    files = {
        path.name: hub_server.File(path.read_bytes(), large=path.suffix == ".safetensors")
        for path in sorted(STORIES.iterdir()) if path.suffix in {".json", ".safetensors"}
    }
    files["README.md"] = hub_server.File(b"# A model\n")
    files["original/params.json"] = hub_server.File(b"{}")
    return files


class Puller:
    """Runs the program with a cache of its own."""

    def __init__(self, hub, home):
        self.hub, self.home = hub, home
        self.repo = home / "hub" / ("models--" + hub.repo.replace("/", "--"))
        names = {"PATH", "LANG", "LD_LIBRARY_PATH"}
        self.env = {name: value for name, value in os.environ.items() if name in names}
        self.env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HOME": str(home)}

    def start(self, *arguments, verb="pull", prefix=(), **env):
        command = [*prefix, BINARY, verb, *arguments]
        # Who starts tests in the background has SIGINT ignored, and so would the program.
        return subprocess.Popen(command, env=self.env | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))

    def run(self, *arguments, timeout=60, **options):
        process = self.start(*arguments, **options)
        process.out, process.err = process.communicate(timeout=timeout)
        self.check_blobs()
        return process

    def pull(self, *arguments, **options):
        """The snapshot; it must succeed."""
        process = self.run(self.hub.repo, *arguments, **options)
        assert process.returncode == 0, process.err
        return pathlib.Path(process.out.strip())

    def check_blobs(self):
        """Whatever happened: under a final name there is only what the name promises."""
        for blob in (self.repo / "blobs").glob("*"):
            if blob.suffix == ".incomplete":
                continue
            content = blob.read_bytes()
            header = b"blob %d\0" % len(content)
            assert blob.name in (hashlib.sha256(content).hexdigest(), hashlib.sha1(header + content).hexdigest())


@pytest.fixture
def hub():
    with hub_server.running(hub_server.Hub(model_files())) as running:
        yield running


@pytest.fixture
def large_hub():
    """One large file beside a small one."""
    files = {"config.json": hub_server.File(b"{}"), "model.safetensors": hub_server.File(LARGE, large=True)}
    with hub_server.running(hub_server.Hub(files)) as running:
        yield running


@pytest.fixture
def puller(hub, tmp_path):
    return Puller(hub, tmp_path)


@pytest.fixture
def large(large_hub, tmp_path):
    return Puller(large_hub, tmp_path)
