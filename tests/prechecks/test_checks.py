"""Facts in, finding out: one row for every reason that a check can give.

Every row changes one thing about two nodes between which a guest can move.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.drivers.base import DriverFacts
from bmigd.errors import Busy
from bmigd.guests.definition import MIB, make
from bmigd.host import Cpu
from bmigd.prechecks import CHECKS, OF_FILES, failures, run
from bmigd.prechecks.facts import Case, DiskFacts, Facts, FileState, FirmwareFacts, Verdict
from bmigd.prechecks.protocol import newest_common

DAY_S = 86400
NOW_S = 1_800_000_000
GUEST = make(
    {
        "name": "web1",
        "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
        "driver": "bhyve",
        "memory_bytes": 512 * MIB,
        "firmware": {"bootrom": "/firmware/UEFI.fd"},
        "devices": [
            {"slot": "4", "emulation": "virtio-blk", "storage": "nfs", "image": "web1.raw"},
            {"slot": "31", "emulation": "lpc"},
        ],
    }
)
CARD = {"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": "58:9c:fc:00:00:01"}
ON_LAN = make({**GUEST.model_dump(), "devices": [*GUEST.model_dump()["devices"], CARD]})
NODE = Facts(
    name="host1",
    protocol_versions=(1, 2),
    version="1",
    clock_ms=NOW_S * 1000,
    certificate_expires_at_s=NOW_S + 100 * DAY_S,
    memory_available_bytes=2048 * MIB,
    spool_available_bytes=2048 * MIB,
    spool_in_memory=False,
    cpu=Cpu("AuthenticAMD", "EPYC", ("avx", "sse"), 8),
    driver=DriverFacts("bhyve", build="14.2", can_snapshot=True),
    networks=("lan",),
    disks=(DiskFacts("nfs", "web1.raw", 1000),),
)
CASE = Case(
    guest=GUEST,
    source=NODE,
    destination=replace(
        NODE,
        name="host2",
        disks=(DiskFacts("nfs", "web1.raw", 1000, "probe"),),
        firmware=(FirmwareFacts("/firmware/UEFI.fd", FileState.SAME),),
    ),
    probe="probe",
    clock_error_ms=100,
    is_running=True,
    unwatched="",
    may_be_sent=True,
    objections=(),
    kept_bytes=512 * MIB,
    room_bytes=(512 * MIB, 512 * MIB),
    fixed_downtime_s=0.1,
    downtime_limit_s=0.3,
    on_timeout="abort",
)


def here(**changes: Any) -> Case:
    """The case with other facts of the source."""
    return replace(CASE, source=replace(CASE.source, **changes))


def there(**changes: Any) -> Case:
    """The case with other facts of the destination."""
    return replace(CASE, destination=replace(CASE.destination, **changes))


def disk(**changes: Any) -> Case:
    """The case with another disk on the destination."""
    return there(disks=(replace(CASE.destination.disks[0], **changes),))


def firmware(state: FileState) -> Case:
    """The case with another boot ROM on the destination."""
    return there(firmware=(FirmwareFacts("/firmware/UEFI.fd", state),))


def driver(**changes: Any) -> DriverFacts:
    """Another driver."""
    return replace(NODE.driver, **changes)


MISSING = DriverFacts("")
SOON = NOW_S + 13 * DAY_S
FAILURES = [
    ("ownership", "GUEST_NOT_RUNNING", replace(CASE, is_running=False)),
    ("ownership", "GUEST_NOT_RUNNING", replace(CASE, is_running=False, unwatched="it runs, but")),
    ("ownership", "GUEST_BUSY", replace(CASE, busy=Busy("GUEST_BUSY", "it is moving", "wait"))),
    ("ownership", "SEND_DENIED", replace(CASE, may_be_sent=False)),
    ("ownership", "DENIED_BY_PEER", there(denied="host1 may not send web1")),
    ("ownership", "NAME_TAKEN", there(name_taken_by="another guest")),
    ("protocol", "PROTOCOL_VERSION", there(protocol_versions=(3,))),
    ("protocol", "PROTOCOL_VERSION", there(protocol_versions=())),
    ("driver", "DRIVER_MISSING", here(driver=MISSING)),
    ("driver", "DRIVER_MISSING", there(driver=MISSING)),
    ("driver", "DRIVER_CANNOT_SNAPSHOT", here(driver=driver(can_snapshot=False))),
    ("driver", "DRIVER_CANNOT_SNAPSHOT", there(driver=driver(can_snapshot=False))),
    ("driver", "DRIVER_MISMATCH", there(driver=driver(build="14.3"))),
    ("driver", "GUEST_NOT_MIGRATABLE", replace(CASE, objections=("passthru",))),
    ("driver", "THROTTLE_NOT_SUPPORTED", replace(CASE, on_timeout="throttle")),
    (
        "tracker",
        "TRACKER_NOT_AVAILABLE",
        replace(CASE, tracker="pagemap", tracker_obstacle="the driver keeps no log"),
    ),
    ("cpu", "CPU_VENDOR", there(cpu=replace(NODE.cpu, vendor="GenuineIntel"))),
    ("cpu", "CPU_FEATURES", there(cpu=replace(NODE.cpu, features=("sse",)))),
    ("cpu", "CPU_MODEL", there(cpu=replace(NODE.cpu, model="EPYC 2"))),
    ("memory", "NO_MEMORY", there(memory_available_bytes=512 * MIB - 1)),
    ("memory", "NO_MEMORY", there(spool_in_memory=True, memory_available_bytes=1024 * MIB - 1)),
    ("spool", "NO_SPOOL_ROOM", here(spool_available_bytes=512 * MIB - 1)),
    ("spool", "NO_SPOOL_ROOM", there(spool_available_bytes=512 * MIB - 1)),
    ("spool", "NO_SPOOL_ROOM", here(spool_in_memory=True, memory_available_bytes=1)),
    ("storage", "STORAGE_MISSING", there(disks=())),
    ("storage", "STORAGE_MISSING", disk(size_bytes=0)),
    ("storage", "STORAGE_MISSING", disk(storage="other")),
    ("storage", "STORAGE_DIFFERS", disk(size_bytes=999)),
    ("storage", "STORAGE_MISSING", replace(CASE, source=replace(CASE.source, disks=()))),
    ("storage", "STORAGE_NOT_SHARED", disk(probe="")),
    ("storage", "STORAGE_NOT_SHARED", disk(probe="older")),
    ("storage", "STORAGE_NOT_SHARED", replace(disk(probe=""), probe="")),
    ("network", "NETWORK_MISSING", replace(there(networks=("dmz",)), guest=ON_LAN)),
    ("firmware", "FIRMWARE_MISSING", there(firmware=())),
    ("firmware", "FIRMWARE_MISSING", firmware(FileState.MISSING)),
    ("firmware", "FIRMWARE_DIFFERS", firmware(FileState.DIFFERS)),
    ("firmware", "FIRMWARE_OUTSIDE", firmware(FileState.OUTSIDE)),
]
WARNINGS = [
    (
        "network",
        "NETWORK_NOT_ANNOUNCED",
        replace(there(silent_networks=(("lan", "br0: gone"),)), guest=ON_LAN),
    ),
    ("certificates", "CERTIFICATE_EXPIRES_SOON", here(certificate_expires_at_s=SOON)),
    ("certificates", "CERTIFICATE_EXPIRES_SOON", there(certificate_expires_at_s=SOON)),
    ("certificates", "CLOCKS_DIFFER", there(clock_ms=NOW_S * 1000 + 5101)),
    ("certificates", "CLOCKS_DIFFER", there(clock_ms=NOW_S * 1000 - 5101)),
    ("downtime", "DOWNTIME_LIMIT_UNREACHABLE", replace(CASE, fixed_downtime_s=0.31)),
]
EDGES = [
    there(memory_available_bytes=512 * MIB),
    there(spool_in_memory=True, memory_available_bytes=1024 * MIB),
    there(spool_available_bytes=512 * MIB),
    there(protocol_versions=(2, 3)),
    there(cpu=replace(NODE.cpu, features=("avx", "avx2", "sse"))),
    there(clock_ms=NOW_S * 1000 + 5100),
    here(certificate_expires_at_s=NOW_S + 14 * DAY_S),
    replace(CASE, fixed_downtime_s=0.3),
    replace(here(driver=driver(can_throttle=True)), on_timeout="throttle"),
    replace(CASE, guest=make({**GUEST.model_dump(), "devices": []}), probe=""),
]


def test_nothing_is_in_the_way_of_a_guest_that_can_move() -> None:
    findings = run(CASE)
    assert [finding for finding in findings if finding.verdict != Verdict.PASSED] == []
    assert len({finding.check for finding in findings}) == len(CHECKS)
    assert all(finding.message and not finding.reason for finding in findings)


@pytest.mark.parametrize(("check", "reason", "case"), FAILURES)
def test_what_is_in_the_way_is_named_with_what_to_do(check: str, reason: str, case: Case) -> None:
    (finding,) = (one for one in run(case) if one.check == check)
    assert (finding.verdict, finding.reason) == (Verdict.FAILED, reason)
    assert finding.message
    assert finding.advice
    of_both = reason in ("PROTOCOL_VERSION", "DRIVER_MISMATCH")
    assert finding.node in ([""] if of_both else [case.source.name, case.destination.name])
    assert finding.node in finding.message or finding.node == case.source.name
    assert finding in failures(run(case))
    assert run(case)[0].verdict == Verdict.FAILED  # failures come first


@pytest.mark.parametrize(("check", "reason", "case"), WARNINGS)
def test_what_is_worth_knowing_stops_nothing(check: str, reason: str, case: Case) -> None:
    (finding,) = (one for one in run(case) if one.check == check)
    assert (finding.verdict, finding.reason) == (Verdict.WARNING, reason)
    assert finding.advice
    assert failures(run(case)) == []


@pytest.mark.parametrize("case", EDGES)
def test_just_enough_is_enough(case: Case) -> None:
    assert [one for one in run(case) if one.verdict != Verdict.PASSED] == []


def test_an_image_that_grows_may_be_larger_but_must_be_the_same_file() -> None:
    growing = [
        one.model_copy(update={"options": ("format=qcow2",)}) if one.storage else one
        for one in GUEST.devices
    ]
    guest = GUEST.model_copy(update={"devices": tuple(growing)})
    larger = replace(disk(size_bytes=1001), guest=guest)
    assert [one for one in run(larger) if one.verdict is Verdict.FAILED] == []
    (copy,) = failures(run(replace(disk(size_bytes=1001, probe=""), guest=guest)))
    assert copy.reason == "STORAGE_NOT_SHARED"


@given(st.data())
def test_checks_have_a_verdict_for_any_mixture_of_nodes(data: st.DataObject) -> None:
    """Facts of every row mixed together: a peer may send any of them at once."""

    def mixed(side: Callable[[Case], Facts]) -> Facts:
        rows = [side(case) for _, _, case in FAILURES + WARNINGS]
        names = [field.name for field in fields(Facts)]
        return Facts(**{name: getattr(data.draw(st.sampled_from(rows)), name) for name in names})

    case = replace(
        CASE,
        source=mixed(lambda one: one.source),
        destination=mixed(lambda one: one.destination),
    )
    hidden = OF_FILES if case.destination.denied else ()
    assert len(run(case)) == len(CHECKS) - len(hidden)


@pytest.mark.parametrize(
    ("ours", "theirs", "version"),
    [((1,), (1,), 1), ((1, 2, 3), (2, 3, 4), 3), ((1,), (2,), None), ((), (), None)],
)
def test_the_newest_common_version_is_spoken(
    ours: tuple[int, ...], theirs: tuple[int, ...], version: int | None
) -> None:
    assert newest_common(ours, theirs) == version
