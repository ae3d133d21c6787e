"""The short forms of load.py."""
import pytest

from load import run


@pytest.mark.parametrize("name, amount", [("streams", 300), ("vanish", 100), ("soak", 8)])
def test_load(name, amount):
    run(name, amount)
