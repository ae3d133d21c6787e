"""The whole server on the simulated gfx1201, where it was built (target simulated_gpu)."""
import json
import pathlib

import pytest

from conftest import BINARY, NAME, ROOT, running

BUILD = pathlib.Path(BINARY).parent
# What tools/simulated_gpu.sh sets, for one program.
ON_SIMULATED_GPU = ("bash", "-c", 'source "$0/tools/simulated_gpu.sh" "$1" && shift && exec "$@"', str(ROOT), str(BUILD))


def complete(server):
    answer = server.client().completions.create(model=NAME, prompt="Once upon a time, there was", max_tokens=24,
                                                temperature=0, logprobs=1)
    return answer.choices[0].logprobs.tokens, answer.usage.completion_tokens


@pytest.mark.skipif(not (BUILD / "tests/gpu/libisotope_sim_hip.so").exists(), reason="simulated_gpu was not built")
def test_the_simulated_card_answers_as_the_cpu_does(server, tmp_path, monkeypatch):
    report = tmp_path / "launches.jsonl"
    monkeypatch.setenv("ISOTOPE_SIM_REPORT", str(report))
    # Batches are small, so that few graphs are captured.
    with running("--device", "hip", "--served-model-name", NAME, "--max-num-seqs", "2", prefix=ON_SIMULATED_GPU) as simulated:
        assert complete(simulated) == complete(server)
    *launches, summary = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(launches) == summary["launches"] >= 24
    assert not [launch for launch in launches if launch["fault"] or launch["warnings"]]
