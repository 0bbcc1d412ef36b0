"""What this host's bhyve can do, and where paths are too long for it: told before a migration."""

from pathlib import Path

import pytest

from bmigd.drivers.bhyve.programs import flaw_of_release
from tests.drivers.bhyve_bed import DEVICES, BhyveBed, wrapped
from tests.guests.definitions import a_guest


def test_paths_that_are_too_long_meet_objections_in_words(bed: BhyveBed) -> None:
    long = a_guest(name="n" * 60, devices=DEVICES)
    objections = " ".join(bed.node("a" * 40).driver.objections(long))
    assert "supervisor's socket is longer than 103" in objections
    assert "control socket is too long" in objections
    spool = bed.directory / ("é" * 110)
    node = bed.node("b").again(spool=spool)
    assert any("snapshot is longer" in one for one in node.driver.objections(bed.definition))


@pytest.mark.parametrize(
    ("program", "lines", "words"),
    [
        ("bhyvectl", "exit 1", "has no --suspend"),
        ("bhyve", "exit 0", "has no -r"),
    ],
)
async def test_a_build_without_snapshots_is_told(
    bed: BhyveBed, program: str, lines: str, words: str
) -> None:
    facts = await wrapped(bed.node("a"), program, lines).driver.facts()
    assert (facts.can_snapshot, facts.build) == (False, "")
    assert words in facts.problem


async def test_programs_that_are_missing_are_told(bed: BhyveBed) -> None:
    facts = await bed.node("a").again(bhyve=Path("/nonexistent/bhyve")).driver.facts()
    assert facts.problem == "/nonexistent/bhyve cannot be found"


async def test_programs_that_go_missing_later_are_told_too(bed: BhyveBed) -> None:
    node = bed.node("a")
    assert (await node.driver.facts()).can_snapshot
    (node.home / "bin/bhyve").rename(node.home / "bin/kept")
    facts = await node.driver.facts()
    assert (facts.can_snapshot, facts.problem) == (False, f"{node.home}/bin/bhyve cannot be found")
    (node.home / "bin/kept").rename(node.home / "bin/bhyve")
    assert (await node.driver.facts()).can_snapshot


async def test_another_program_is_another_build(bed: BhyveBed) -> None:
    node = bed.node("a")
    before = (await node.driver.facts()).build
    assert (await wrapped(node, "bhyve", "").driver.facts()).build != before


@pytest.mark.parametrize(
    ("system", "release", "is_refused"),
    [
        *(("FreeBSD", "13.5-RELEASE", True), ("FreeBSD", "12.4", True)),
        *(("FreeBSD", "14.0-RELEASE-p3", False), ("FreeBSD", "15.0-CURRENT", False)),
        *(("Linux", "6.1.0", False), ("FreeBSD", "", False)),
    ],
)
def test_releases_that_lose_devices_are_refused(
    system: str, release: str, is_refused: bool
) -> None:
    assert bool(flaw_of_release(system, release)) == is_refused
