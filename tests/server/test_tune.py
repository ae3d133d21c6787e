"""isotope tune on the simulated gfx1201: a table is made, read, kept safe, and made again after an interrupt."""
import json
import signal
import subprocess
import time

import pytest

from real_server import BINARY, ROOT
from simulated import ON_SIMULATED_GPU, needs_simulator

# A layer of Qwen3's shape, small enough to be executed lane by lane.
SMALL = {"num_hidden_layers": 1, "vocab_size": 384, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 64}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "config.json"
    config = json.loads((ROOT / "tests/data/configs/Qwen3-0.6B-FP8.config.json").read_text())
    path.write_text(json.dumps(config | SMALL))
    return path


def command(model, *flags, device="hip"):
    return [*ON_SIMULATED_GPU, BINARY, "tune", "--model", str(model), "--load-format", "dummy", "--device", device,
            "--decode-rows", "1,32", "--prefill-rows", "64", *flags]


def run(model, *flags, **options):
    return subprocess.run(command(model, *flags, **options), capture_output=True, text=True, timeout=300)


def trials(log):
    """Of each case: (seconds, why it was rejected) by values."""
    _, *lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {(line["kernel"], line["n"], line["k"], line["rows"]): line["trials"] for line in lines}


@needs_simulator
def test_a_table_holds_what_was_best_and_is_read_by_the_next_start(model, tmp_path):
    table = tmp_path / "isotope" / "tuning" / "gfx1201.toml"
    report = tmp_path / "report.json"
    done = run(model, "--output", str(table), "--json", str(report))
    assert done.returncode == 0, done.stderr
    assert "No time was measured" in done.stdout
    assert "in simulation; no time was measured" in table.read_text()
    for case, tried in trials(table.with_name("gfx1201.toml.jsonl")).items():
        assert not [trial["rejected"] for trial in tried if "rejected" in trial], case
    cases = json.loads(report.read_text())["cases"]
    assert {case["kernel"] for case in cases} == {"linear_decode", "linear_wide", "linear_prefill", "attention_decode"}
    for case in cases:
        best = min(trial["seconds"] for trial in case["trials"])
        chosen = case["trials"][case["choice"]]["seconds"]
        # What decides bits is one for all numbers of rows, so a wide kernel may not take its best.
        assert chosen <= 1.01 * (case["trials"][0]["seconds"] if case["kernel"] == "linear_wide" else best), case
    # The table is in force where the user's tables are looked for: it is what the next run starts from.
    again = subprocess.run(["env", f"XDG_CONFIG_HOME={tmp_path}", *command(model, "--output", str(tmp_path / "second.toml"))],
                           capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    for case in cases:
        place = (case["kernel"], case["n"], case["k"], case["rows"])
        assert trials(tmp_path / "second.toml.jsonl")[place][0]["values"] == case["trials"][case["choice"]]["values"]


@needs_simulator
def test_an_interrupted_run_goes_on_where_it_was(model, tmp_path):
    table = tmp_path / "gfx1201.toml"
    log = tmp_path / "gfx1201.toml.jsonl"
    with subprocess.Popen(command(model, "--output", str(table)), stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) as process:
        deadline = time.monotonic() + 200
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
        assert process.wait(60) == 130, error
    assert "The same command goes on from here" in error
    assert not table.exists()
    before = log.read_text().splitlines()
    log.write_text("\n".join(before) + '\n{"kernel": "linear_')  # as if killed while writing
    done = run(model, "--output", str(table))
    assert done.returncode == 0, done.stderr
    assert f"{len(before) - 1} shapes are in {log} already" in done.stderr
    assert log.read_text().splitlines()[:len(before)] == before
    assert table.exists()


@needs_simulator
def test_measurements_of_other_kernels_are_not_used(model, tmp_path):
    table = tmp_path / "gfx1201.toml"
    log = tmp_path / "gfx1201.toml.jsonl"
    log.write_text('{"task": "tune", "settings": {}, "settings_sha256": "0"}\n{"not": "a case"}\n')
    done = run(model, "--output", str(table), "--kernels", "attention_decode")
    assert done.returncode == 0, done.stderr
    assert "already" not in done.stderr
    assert list(trials(log)) == [("attention_decode", 2, 64, 1), ("attention_decode", 2, 64, 32)]
    assert "measured on another card" in done.stderr and '"not": "a case"' in log.with_name(log.name + ".old").read_text()


@needs_simulator
@pytest.mark.parametrize("flags, device, message", [
    ((), "hip", "--output is needed on a simulated card"),
    ((), "cpu", "only kernels of GPUs have values to tune"),
    (("--output", "{theirs}"), "hip", "was not written by `isotope tune`, and would be lost"),
    (("--output", "x.toml", "--decode-rows", "129"), "hip", "129"),
    (("--output", "x.toml", "--kernels", "matmul"), "hip", "matmul"),
])
def test_what_cannot_be_is_refused(model, tmp_path, flags, device, message):
    theirs = tmp_path / "theirs.toml"
    theirs.write_text("[[linear_decode]]\nblocks = 3\n")
    done = run(model, *[flag.format(theirs=theirs) for flag in flags], device=device)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert theirs.read_text() == "[[linear_decode]]\nblocks = 3\n"
