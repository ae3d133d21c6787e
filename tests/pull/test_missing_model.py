"""A model that is neither here nor there is told at once, whatever was meant: a path or a name at the hub."""
import time

import pytest

NOBODY_LISTENS = "http://127.0.0.1:1"


@pytest.fixture
def ask(puller, tmp_path):
    """What `isotope run --model NAME` says in a folder that holds models/good."""
    (tmp_path / "work/models/good").mkdir(parents=True)

    def run(name, **env):
        begin = time.monotonic()
        process = puller.run("--model", name, "-p", "x", verb="run", prefix=("env", "-C", str(tmp_path / "work")), **env)
        assert process.returncode == 1
        assert time.monotonic() - begin < 5
        return process.err
    return run


@pytest.mark.parametrize("name", ["./models/typo", "models/a/typo", "typo"])
def test_a_path_is_not_looked_for_at_the_hub(ask, hub, name):
    assert f"there is no folder {name}" in ask(name)
    assert not hub.requests


def test_what_is_beside_it_is_named(ask):
    assert "(./models holds good)" in ask("./models/typo")


def test_what_may_be_either_says_both(ask, hub):
    said = ask("models/typo")
    assert "there is no folder models/typo (models holds good), and as a name at the hub: " in said
    assert hub.requests
    assert "there is no folder" not in ask("other/typo")


@pytest.mark.parametrize("name", ["models/typo", "other/typo"])
def test_without_a_network_it_gives_up_soon(ask, name):
    said = ask(name, HF_ENDPOINT=NOBODY_LISTENS)
    assert f"{name} at {NOBODY_LISTENS}: " in said and "(2 tries)" in said
    assert ("models holds good" in said) == (name == "models/typo")


def test_offline_nothing_is_tried(ask, hub):
    assert "(models holds good), and as a name at the hub: " in ask("models/typo", HF_HUB_OFFLINE="1")
    assert not hub.requests
