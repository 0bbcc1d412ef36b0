"""One cluster for all of these tests; a test that damages files copies them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.authority import Validity, issue_node, issue_operator, make_ca

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CA of `lab` with nodes, an operator, and nodes whose time is over or has not come."""
    out = tmp_path_factory.mktemp("cluster")
    make_ca(out, "lab")
    for name in ("host1", "host2"):
        issue_node(out, name)
    issue_node(out, "past", Validity(NOW - 9 * DAY, NOW - DAY))
    issue_node(out, "future", Validity(NOW + DAY, NOW + 9 * DAY))
    issue_operator(out, "alice")
    return out


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another CA that says it is of the same cluster."""
    out = tmp_path_factory.mktemp("stranger")
    make_ca(out, "lab")
    for name in ("host1", "host2"):
        issue_node(out, name)
    return out
