"""`isotope pull` against a hub without faults: what it takes, where it puts it, what it says."""
import json
import os

import hub_server
import pytest

SERVED = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}


def test_takes_what_serving_needs(puller, hub):
    folder = puller.pull()
    names = {path.name for path in folder.iterdir()}
    assert names == {name for name in hub.files if name.endswith((".json", ".safetensors")) and "/" not in name}
    assert (puller.repo / "refs/main").read_text() == hub.commit
    assert folder == puller.repo / "snapshots" / hub.commit
    for path in folder.iterdir():
        assert os.readlink(path) == f"../../blobs/{hub.files[path.name].etag}"
        assert path.read_bytes() == hub.files[path.name].content
    assert not list((puller.repo / "blobs").glob("*.incomplete"))


def test_takes_nothing_twice(puller, hub):
    puller.pull()
    sent = hub.sent
    assert puller.pull("--revision", "v1") == puller.pull()
    assert hub.sent == sent
    assert (puller.repo / "refs/v1").read_text() == hub.commit


def test_all_and_patterns(puller):
    folder = puller.pull("--include", "*.md", "--include", "original/")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "README.md", "original/params.json"]
    assert os.readlink(folder / "original/params.json").startswith("../../../blobs/")
    folder = puller.pull("--all", "--exclude", "*.safetensors")
    assert (folder / "tokenizer.json").exists() and not (folder / "model.safetensors").exists()


def test_weights_are_taken_once(puller, hub):
    hub.files["consolidated.safetensors"] = hub_server.File(b"native", large=True)
    assert not (puller.pull() / "consolidated.safetensors").exists()
    del hub.files["model.safetensors"]
    hub.revisions["main"] = "d" * 40
    hub.revisions["d" * 40] = "d" * 40
    assert (puller.pull() / "consolidated.safetensors").exists()


def test_new_commit_of_a_branch(puller, hub):
    old = puller.pull()
    hub.revisions["main"] = hub.commit = "a" * 40
    hub.revisions["a" * 40] = "a" * 40
    hub.files["config.json"] = hub_server.File(b'{"new": 1}')
    new = puller.pull()
    assert new != old and (new / "config.json").read_bytes() == b'{"new": 1}'
    assert (old / "config.json").read_bytes() != b'{"new": 1}'


def test_model_flag_pulls_then_uses_the_cache(puller, hub):
    first = puller.run("--model", hub.repo, "--raw", "--prompt", "Once", "--max-tokens", "4", "--json", verb="run")
    assert first.returncode == 0, first.err
    assert f"downloading it from {hub.url}" in first.err
    assert json.loads(first.out)["model"] == hub.repo
    requests = len(hub.requests)
    again = puller.run("--model", hub.repo, "--raw", "--prompt", "Once", "--max-tokens", "4", "--json", verb="run")
    assert json.loads(again.out)["text"] == json.loads(first.out)["text"]
    assert len(hub.requests) == requests
    info = puller.run(hub.repo, verb="info", HF_HUB_OFFLINE="1")
    assert info.returncode == 0 and "layers" in info.out
    target = puller.home / "FP8"
    quantized = puller.run(hub.repo, target, verb="quantize", HF_HUB_OFFLINE="1")
    assert quantized.returncode == 0 and (target / "model.safetensors").exists(), quantized.err


def test_offline(puller, hub):
    process = puller.run(hub.repo, "--offline")
    assert process.returncode == 1 and "is not in" in process.err and not hub.requests
    folder = puller.pull()
    (puller.repo / "blobs").chmod(0o555)
    requests = len(hub.requests)
    assert puller.pull("--offline") == folder and puller.pull(HF_HUB_OFFLINE="1") == folder
    assert len(hub.requests) == requests
    (folder / "model.safetensors").unlink()
    process = puller.run(hub.repo, "--offline")
    assert process.returncode == 1 and "has no model.safetensors" in process.err


def test_models_lists_and_removes(puller, hub):
    puller.pull()
    assert hub.repo in puller.run(verb="models").out
    assert puller.run("remove", "org/other", verb="models").returncode == 1
    assert puller.run("remove", hub.repo, verb="models").returncode == 0
    assert hub.repo not in puller.run("list", verb="models").out
    assert not puller.repo.exists()


@pytest.mark.parametrize("arguments, message", [
    (("org/other",), "is not at"),
    (("org/model", "--revision", "v2"), "no revision 'v2'"),
    (("org/model", "--revision", "../../x"), "is no revision"),
    (("../x",), "is no name of a repository"),
    (("org/model", "--include", "*.gguf"), "none of them is selected"),
])
def test_mistakes_are_named(puller, arguments, message):
    process = puller.run(*arguments)
    assert process.returncode == 1 and message in process.err


@pytest.mark.parametrize("name", ["../../../evil.json", "/etc/evil.json", "a\x1b[2J.json", "a//b.json", "..\\evil.json",
                                  "./x.json", "x" * 300 + ".json"])
def test_hostile_names_are_refused(puller, hub, name):
    hub.files[name] = hub_server.File(b"{}")
    process = puller.run(hub.repo, "--all")
    assert process.returncode == 1 and "outside of the cache" in process.err
    assert "\x1b" not in process.err
    assert not puller.repo.exists()


def test_gated(puller, hub):
    hub.token = "hf_secret"
    process = puller.run(hub.repo)
    assert process.returncode == 1 and f"accept its licence at {hub.url}/{hub.repo}" in process.err
    process = puller.run(hub.repo, HF_TOKEN="hf_other")
    assert process.returncode == 1 and "the token of HF_TOKEN has no access" in process.err
    assert "hf_other" not in process.err
    puller.home.joinpath("token").write_text("hf_secret\n")
    puller.pull()


def test_token_stays_with_the_hub(puller, hub):
    puller.pull("--token", "hf_secret")
    seen = {(origin, headers.get("Authorization")) for origin, _, _, headers in hub.requests}
    assert seen == {("hub", "Bearer hf_secret"), ("cdn", None)}
