"""The second guest that goes to a node is estimated by what the first was down for, also by a
daemon that was restarted in between.
"""

import json
import re
from typing import Any

import pytest

from bmigd.migration.costs import LEAST, MOST
from tests.cluster import Cluster, cluster

pytestmark = pytest.mark.e2e


def expected_ms(world: Cluster, destination: str) -> int:
    """What the check says of a switchover there, beside memory."""
    said = world.ctl("check", "vm1", destination).stdout
    found = re.search(r"about (\d+) ms", said)
    assert found, said
    return int(found[1])


def learned(world: Cluster) -> dict[str, list[tuple[int, float, float]]]:
    """What host1 keeps."""
    seen: dict[str, list[tuple[int, float, float]]] = json.loads(
        (world.nodes["host1"].directory / "state/switchovers.json").read_text()
    )
    return seen


def beside_memory_s(report: dict[str, Any]) -> float:
    """Downtime less the last pass."""
    parts = report["downtime_parts"]
    memory_us = sum(part["duration_us"] for part in parts if part["name"] == "last pass")
    return float(report["downtime_us"] - memory_us) / 1e6


def test_what_one_switchover_took_is_expected_of_the_next() -> None:
    with cluster(["host1", "host2", "host3"]) as world:
        world.make_guest("vm1", "host1", "64M", "--rate", "2", "--working-set", "16M")
        at_first_ms = {to: expected_ms(world, to) for to in ("host2", "host3")}
        moved = world.migrate("vm1", "host2")
        world.migrate("vm1", "host1")
        ((memory_bytes, filled, times),) = learned(world)["bhyve to host2"]
        assert (memory_bytes, 8 / 64 <= filled < 32 / 64) == (64 << 20, True)
        world.nodes["host1"].stop()
        world.nodes["host1"].start()
        if LEAST < times < MOST:
            took_ms = 1000 * beside_memory_s(moved["report"])
            told_ms = took_ms / times**0.5  # the driver's estimate counts as much as one
            assert expected_ms(world, "host2") == pytest.approx(told_ms, abs=1)
        assert expected_ms(world, "host2") != at_first_ms["host2"]
        assert expected_ms(world, "host3") == at_first_ms["host3"]
        world.beats_on("vm1")
