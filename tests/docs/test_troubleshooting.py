"""Provokes errors that docs/troubleshooting.md explains: the program must say what stands there, word for word."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
STORIES = ROOT / "tests/data/stories260K"
QWEN = str(ROOT / "tests/data/configs/Qwen3-8B-FP8.config.json")
ON_PAPER = ("--arch", "gfx1201", "--device-memory")

MESSAGES = [text for line in (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8").splitlines()
            if line.startswith("| `") for text in [re.match(r"\| `(.*?)` \|", line)[1]]]


def explained(output):
    """The messages of the page that this output holds."""
    return [message for message in MESSAGES
            if re.search(".*?".join(re.escape(part.strip()) for part in message.split("…")), output, re.DOTALL)]


def expect(output, beginning):
    found = explained(output)
    assert any(message.lstrip("… ").startswith(beginning) for message in found), f"{output}\nis explained by {found}"


def isotope(*arguments, **variables):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **variables}
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models that lack something."""
    root = tmp_path_factory.mktemp("models")
    for name in ("mixtral", "cut", "weightless", "empty"):
        shutil.copytree(STORIES, root / name)
    config = json.loads((STORIES / "config.json").read_text())
    (root / "mixtral/config.json").write_text(json.dumps({**config, "architectures": ["MixtralForCausalLM"]}))
    weights = (STORIES / "model.safetensors").read_bytes()
    (root / "cut/model.safetensors").write_bytes(weights[:100])
    (root / "weightless/model.safetensors").unlink()
    for file in (root / "empty").iterdir():
        file.unlink()
    return root


@pytest.mark.parametrize("arguments, beginning", [
    (["run", "--model", "models/missing", "-p", "x"], "(revision …) is not in"),
    (["run", "--model", "{folders}/empty", "-p", "x"], "has neither tokenizer.json"),
    (["info", "{folders}/empty"], "holds neither config.json"),
    (["run", "--model", "{folders}/weightless", "-p", "x", "--raw"], "holds neither …, model.safetensors"),
    (["run", "--model", "{folders}/cut", "-p", "x", "--raw"], "the file has only"),
    (["run", "--model", "{folders}/mixtral", "-p", "x"], "the architecture"),
    (["run", "--model", STORIES, "-p", "x"], "has no chat template; give one"),
    (["info", QWEN, *ON_PAPER, "8GiB", "--lm-head-dtype", "bf16"], "the weights take"),
    (["info", QWEN, *ON_PAPER, "8GiB"], "beside the weights"),
    (["info", QWEN, *ON_PAPER, "10GiB", "--max-model-len", "40960"], "one sequence of"),
    (["info", QWEN, *ON_PAPER, "16GiB", "--num-kv-blocks", "100000"], "asks for"),
    (["info", QWEN, *ON_PAPER, "16GiB", "--max-model-len", "100000"], "--max-model-len"),
    (["info", QWEN, "--arch", "gfx906"], "--arch"),
    (["run", "--model", STORIES, "-p", "x", "--device", "gpu"], "--device …: expected"),
    (["run", "--model", STORIES, "-p", "x", "--kv-cache-memory-bytes", "1x"], "expected a size"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_command(folders, arguments, beginning):
    code, output = isotope(*[str(argument).format(folders=folders) for argument in arguments])
    assert code == 1
    expect(output, beginning)


@pytest.mark.parametrize("device, variable", [("cuda", "ISOTOPE_CUDA_LIBRARY"), ("hip", "ISOTOPE_HIP_LIBRARY")])
def test_no_driver(device, variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    code, output = isotope("run", "--model", STORIES, "-p", "x", "--raw", "--device", device)
    if "cannot open shared object file" not in output:
        pytest.skip("there is a driver")
    assert code == 1
    expect(output, f"no {device.upper()} driver")


def test_service_without_a_model():
    code, output = isotope("serve", "--model", "")
    assert code == 2  # a mistake in the flags, for which the service is not started again
    expect(output, "is empty; name a model's folder")


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, output = isotope("serve", "--model", STORIES, "--port", taken.getsockname()[1])
    assert code == 1
    expect(output, "cannot listen on")


@pytest.mark.parametrize("path, body, headers, status, beginning", [
    ("/v1/completions", '{"prompt": "x"}', {"Authorization": ""}, 401, "the API key is missing or wrong"),
    ("/v1/completions", '{"prompt": "x", "model": "gpt-4"}', {}, 404, "model: "),
    ("/v1/completions", '{"prompt": "x", "max_tokens": 10000}', {}, 400, "This model's maximum context length"),
    ("/v1/completions", '{"prompt": "x"}', {"Content-Type": "text/plain"}, 415, "send the request with the header"),
    ("/v1/completions", b"\x1f\x8b", {"Content-Encoding": b"gz\xffip"}, 415, "Content-Encoding '"),
    ("/v1/completions", "{prompt: x}", {}, 400, "body: not valid JSON"),
    ("/v1/chat/completions", '{"messages": [{"role": "user", "content": "x"}]}', {}, 400, ": the model"),
    ("/chat/completions", "{}", {}, 404, "there is no"),
    ("/v1/models", "{}", {}, 405, "wants"),
])
def test_request(guarded, path, body, headers, status, beginning):
    answer = httpx.post(guarded + path, content=body, timeout=60,
                        headers={"Content-Type": "application/json", "Authorization": "Bearer key", **headers})
    assert answer.status_code == status
    expect(answer.json()["error"]["message"], beginning)


@pytest.fixture(scope="module")
def guarded():
    process = subprocess.Popen([BINARY, "serve", "--model", str(STORIES), "--port", "0", "--api-key", "key"],
                               stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://[\w.:]+", process.stdout.readline())[0]
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
