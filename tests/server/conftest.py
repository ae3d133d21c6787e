"""Servers, clients and browsers for the tests."""
import httpx
import pytest

import tiny_models
from browser import FakeServer, chromium, visit
from real_server import CHAT_MODEL, NAME, TEMPLATE, running


@pytest.fixture(scope="session")
def server():
    with running("--served-model-name", NAME, "--chat-template", TEMPLATE) as started:
        yield started


@pytest.fixture(scope="session")
def slow_server():
    """One sequence at a time, so that many answers take long; the prefix cache is off, so that blocks in use are those
    of running requests."""
    with running("--served-model-name", NAME, "--max-num-seqs", "1", "--no-enable-prefix-caching",
                 "--shutdown-timeout", "1") as started:
        yield started


@pytest.fixture(scope="session")
def chat_server():
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    with running(model=CHAT_MODEL) as started:
        yield started


@pytest.fixture(scope="session", params=["qwen3", "ministral3"])
def family(request, tmp_path_factory):
    """A server of one of the two families that reason and call tools: a real tokenizer and template, random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    model = getattr(tiny_models, request.param)(folder)
    with running("--load-format", "dummy", "--served-model-name", "tiny", model=model) as started:
        started.name = request.param
        yield started


@pytest.fixture(scope="session")
def client(server):
    return server.client()


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as session:
        yield session


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def fake(server):
    started = FakeServer(server.url)
    yield started
    started.shutdown()


@pytest.fixture
def page(browser, fake):
    fake.reset()
    with visit(browser, fake.url) as visited:
        yield visited
