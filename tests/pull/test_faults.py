"""`isotope pull` against a hub with faults: it ends well or says why, and never publishes a wrong file. Puller.run looks at
every blob after each run."""
import os
import pathlib
import signal
import subprocess
import time

import hub_server
import pytest


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def partial(puller):
    return list((puller.repo / "blobs").glob("*.isotope.incomplete"))


def test_parallel_ranges(large, large_hub):
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content
    ranges = {headers.get("Range") for _, _, _, headers in large_hub.contents()}
    assert ranges == {"bytes=0-16777215", "bytes=16777216-33554431", "bytes=33554432-37748735"}


@pytest.mark.parametrize("seed", range(3))
def test_cut_connections(large, large_hub, seed):
    large_hub.random.seed(seed)
    large_hub.cuts = 12
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content
    # What had come was not asked for again.
    assert large_hub.sent < 1.2 * len(large_hub.files["model.safetensors"].content)


@pytest.mark.parametrize("fault, times", [("busy", 2), ("errors", 2), ("short", 2), ("pages", 1), ("wrong", 1)])
def test_passing_faults(large, large_hub, fault, times):
    setattr(large_hub, fault, times)
    started = time.monotonic()
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content
    if fault == "busy":
        assert time.monotonic() - started >= 2  # Retry-After: 1, twice


@pytest.mark.parametrize("fault, message", [("wrong", "has not the checksum"), ("loop", "redirects")])
def test_lasting_faults(large, large_hub, fault, message):
    setattr(large_hub, fault, 10 ** 6)
    process = large.run(large_hub.repo)
    assert process.returncode == 1 and message in process.err
    assert not (large.repo / "refs/main").exists()


def test_ranges_ignored(large, large_hub):
    large_hub.ranges = False
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content


def test_redirect_to_what_is_no_hub(large, large_hub):
    large_hub.redirect_host = "file://"
    process = large.run(large_hub.repo)
    assert process.returncode == 1 and "not followed" in process.err


def test_page_instead_of_the_list(large, large_hub):
    process = large.run("blob/model.safetensors", HF_ENDPOINT=large_hub.url + "/nowhere")
    assert process.returncode == 1 and "not found" in process.err


def kill_midway(puller, hub, number):
    """Ends a pull with a signal once some bytes have come."""
    hub.delay = 0.005
    process = puller.start(hub.repo)
    deadline = time.monotonic() + 30
    while hub.sent < 8 << 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    hub.delay = 0.5  # the rest does not come before the signal does
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
    hub.delay = 0
    puller.check_blobs()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_goes_on_after_an_interruption(large, large_hub, number):
    kill_midway(large, large_hub, number)
    assert partial(large)
    sent = large_hub.sent
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content
    assert large_hub.sent - sent < len(large_hub.files["model.safetensors"].content) - (4 << 20)
    assert not partial(large)


def test_changed_before_it_goes_on(large, large_hub):
    kill_midway(large, large_hub, signal.SIGKILL)
    changed = bytes(reversed(large_hub.files["model.safetensors"].content))
    large_hub.files["model.safetensors"] = hub_server.File(changed, large=True)
    large_hub.revisions["main"] = "b" * 40
    large_hub.revisions["b" * 40] = "b" * 40
    assert weights(large.pull()) == changed


def test_changed_while_it_runs(large, large_hub):
    def swap(sent):
        if sent > 4 << 20:
            large_hub.after = None
            other = bytes(reversed(large_hub.files["model.safetensors"].content))
            large_hub.files["model.safetensors"] = hub_server.File(other, large=True)

    large_hub.after, large_hub.cuts = swap, 6
    process = large.run(large_hub.repo)
    if process.returncode:
        assert "changed at the hub" in process.err or "checksum" in process.err
    large_hub.cuts = 0
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content


def test_damaged_partial_file(large, large_hub):
    kill_midway(large, large_hub, signal.SIGKILL)
    (path,) = partial(large)
    with open(path, "r+b") as file:
        file.write(b"\0" * 4096)
    process = large.run(large_hub.repo)
    assert process.returncode == 0 and "wrong checksum" in process.err


def test_foreign_partial_file_is_adopted(large, large_hub):
    file = large_hub.files["model.safetensors"]
    (large.repo / "blobs").mkdir(parents=True)
    (large.repo / "blobs" / f"{file.etag}.incomplete").write_bytes(file.content[:20 << 20])
    assert weights(large.pull()) == file.content
    assert large_hub.sent < len(file.content) - (19 << 20)


def test_two_at_once(large, large_hub):
    large_hub.delay = 0.001
    processes = [large.start(large_hub.repo) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    large.check_blobs()
    assert large_hub.sent < 1.1 * len(large_hub.files["model.safetensors"].content)


def test_file_size_limit(large, large_hub):
    process = large.run(large_hub.repo, prefix=("prlimit", f"--fsize={20 << 20}", "--"))
    assert process.returncode == 1 and "File too large; make room" in process.err
    assert partial(large)
    assert weights(large.pull()) == large_hub.files["model.safetensors"].content


def small_disk(path, mebibytes):
    path.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")


def test_disk_without_room(large, large_hub):
    small_disk(large.home / "hub", 30)
    try:
        process = large.run(large_hub.repo)
        assert process.returncode == 1 and "are still to be downloaded" in process.err
        assert not large_hub.contents()
    finally:
        subprocess.run(["umount", str(large.home / "hub")], check=True)


def test_disk_that_fills_up(large, large_hub):
    disk = large.home / "hub"
    small_disk(disk, 50)

    def fill(sent):
        large_hub.after = None
        with pathlib.Path(disk / "other").open("wb") as other:
            try:
                other.write(bytes(25 << 20))
            except OSError:
                pass

    try:
        large_hub.after = fill
        process = large.run(large_hub.repo)
        assert process.returncode == 1 and "No space left on device; make room" in process.err
        (disk / "other").unlink()
        assert weights(large.pull()) == large_hub.files["model.safetensors"].content
    finally:
        subprocess.run(["umount", str(disk)], check=True)
