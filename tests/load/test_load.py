"""The short forms of load.py and hostile.py."""
import pytest

import hostile
from load import run


@pytest.mark.parametrize("name, amount", [("streams", 300), ("vanish", 100), ("soak", 8)])
def test_load(name, amount):
    run(name, amount)


def test_hostile_requests(capsys):
    assert hostile.main(300) == 0, capsys.readouterr().out
