"""What the tests of whole systems share. They need root and Debian packages, which `make test-system` installs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import hosts
from tests.system.clusters import Cluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; all are skipped where no hosts can be made."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    problem = hosts.problem() if ours else None
    for item in ours:
        item.add_marker(pytest.mark.system)
        if problem is not None:
            item.add_marker(pytest.mark.skip(reason=f"{problem}; see `make test-system`"))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Network]:
    """A network for the tests of a file, without hosts yet."""
    with hosts.network(tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts with one CPU each, which ask for a token; tests leave them as they were."""
    with hosts.network(tmp_path_factory.mktemp("three")) as net:
        cluster = Cluster(net)
        cluster.start("head")
        cluster.start("one")
        cluster.start("two", "--num-gpus=1")  # it has none: what is said of that is tested
        cluster.ready()
        yield cluster
