"""`--probe-address`: the report says how long an address was silent, and what could not be measured
is told in words and stops nothing.
"""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, cluster
from tests.netlab import lab

pytestmark = pytest.mark.e2e

ALWAYS_THERE, NOBODYS = "10.9.0.9", "10.9.0.77"


@pytest.fixture(scope="module")
def world() -> Iterator[Cluster]:
    """Daemons in namespaces, and a guest on host1."""
    with lab() as network, cluster(["host1", "host2"], network.places) as made:
        made.make_guest("vm1", "host1")
        yield made


def test_the_longest_silence_of_the_address_is_in_the_report(world: Cluster) -> None:
    moved = world.migrate("vm1", "host2", "--probe-address", ALWAYS_THERE)
    assert 10_000 < int(moved["report"]["network_downtime_us"]) < 10_000_000
    shown = world.ctl("show", moved["id"]).stdout
    assert f"network   {ALWAYS_THERE} was silent for" in shown
    assert f"probe {ALWAYS_THERE}" in shown


def test_an_address_that_does_not_answer_costs_a_figure_and_nothing_else(world: Cluster) -> None:
    moved = world.migrate("vm1", "host1", "--probe-address", NOBODYS)
    assert int(moved["report"].get("network_downtime_us", 0)) == 0
    shown = world.ctl("watch", moved["id"]).stdout
    assert f"network: {NOBODYS} does not answer" in shown


def test_what_is_no_address_is_refused(world: Cluster) -> None:
    done = world.ctl("migrate", "vm1", "host2", "--probe-address", "nowhere", check=False)
    assert done.returncode == 3
    assert "OPTIONS_INVALID" in done.stderr
