"""The cache is shared with huggingface_hub, in both directions."""
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("huggingface_hub")

DOWNLOAD = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download(sys.argv[1], allow_patterns=["*.json", "*.safetensors"]))
"""


def hub_download(puller, **env):
    env = puller.env | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | env
    done = subprocess.run([sys.executable, "-c", DOWNLOAD, puller.hub.repo], env=env, text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    puller.check_blobs()
    return pathlib.Path(done.stdout.strip())


def test_hub_uses_our_files(puller, hub):
    folder = puller.pull()
    assert hub_download(puller, HF_HUB_OFFLINE="1") == folder
    sent = hub.sent
    hub_download(puller)
    names = {os.path.basename(path) for _, method, path, _ in hub.requests if method == "GET"}
    assert hub.sent - sent <= len(hub.files["original/params.json"].content), names


def test_we_use_the_hubs_files(puller, hub):
    folder = hub_download(puller)
    sent = hub.sent
    assert puller.pull("--offline") == folder
    assert puller.pull() == folder
    assert hub.sent == sent
