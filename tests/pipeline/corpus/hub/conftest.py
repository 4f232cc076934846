"""A Hub on the loopback, and a process that prepares corpora from it."""

from collections.abc import Iterator

import pytest

from tests.hub_child import Child
from tests.hub_server import HubServer


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    server = HubServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def prepare(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    child = Child(tmp_path_factory.mktemp("home"), hub.url)
    yield child
    child.stop()
