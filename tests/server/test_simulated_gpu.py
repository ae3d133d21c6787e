"""The whole server on the simulated gfx1201, where it was built (target simulated_gpu)."""
import json
import subprocess

from real_server import BINARY, MODEL, NAME, running
from simulated import ON_SIMULATED_GPU, needs_simulator


def complete(server):
    answer = server.client().completions.create(model=NAME, prompt="Once upon a time, there was", max_tokens=24,
                                                temperature=0, logprobs=1)
    return answer.choices[0].logprobs.tokens, answer.usage.completion_tokens


@needs_simulator
def test_the_simulated_card_answers_as_the_cpu_does(server, tmp_path, monkeypatch):
    report = tmp_path / "launches.jsonl"
    monkeypatch.setenv("ISOTOPE_SIM_REPORT", str(report))
    # Batches are small, so that few graphs are captured.
    with running("--device", "hip", "--served-model-name", NAME, "--max-num-seqs", "2", prefix=ON_SIMULATED_GPU) as simulated:
        assert complete(simulated) == complete(server)
    *launches, summary = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(launches) == summary["launches"] >= 24
    assert not [launch for launch in launches if launch["fault"] or launch["warnings"]]


@needs_simulator
def test_a_profile_counts_what_the_simulated_card_loads(tmp_path):
    command = [*ON_SIMULATED_GPU, BINARY, "profile", "--model", MODEL, "--device", "hip", "--max-num-seqs", "1", "--phase", "decode",
               "--max-model-len", "64", "--input-len", "20", "--output-len", "4", "--num-iters", "1", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["simulated"]
    [profile] = report["profiles"]
    parts = {part["part"]: part for part in profile["parts"]}
    for name in ["qkv", "output", "gate_up", "down", "head"]:
        # Weights once, and inputs, which are as large as some of this model's.
        assert 1 <= parts[name]["loaded_bytes"] / parts[name]["bytes"] < 1.5, name
