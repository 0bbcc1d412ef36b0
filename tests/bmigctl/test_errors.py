"""What an operator reads when something was refused: every fact once, and what to do."""

import pytest
from bmigctl import render
from bmigctl.errors import Refused, Unreachable, UsageFault

from tests.bmigctl.conftest import Operator
from tests.bmigctl.nodes import FakeNode, Refusal, guest

MEMORY = "host2 has 100 MiB for guests, vm1 needs 512 MiB"
SPOOL = "the spool of host2 has room for 0 MiB, 64 MiB are needed"


def refused(reason: str, message: str, *violations: str) -> list[str]:
    """The lines for a refusal of a guest on host1."""
    return render.error(
        Refused(reason, message, guest="vm1", location="on host1", violations=violations)
    )


def test_the_only_cause_is_not_said_twice() -> None:
    head = f"guest vm1 cannot go to host2: {MEMORY}"
    assert refused("NO_MEMORY", head, f"NO_MEMORY: {MEMORY}") == [
        f"error: NO_MEMORY: {head}",
        "  guest:    vm1, on host1",
    ]


def test_several_causes_have_a_line_each_and_are_not_in_the_first_one() -> None:
    head = f"guest vm1 cannot go to host2: {MEMORY}; {SPOOL}"
    causes = (f"NO_MEMORY: {MEMORY}", f"NO_SPOOL_ROOM: {SPOOL}")
    assert refused("PRECHECK_FAILED", head, *causes) == [
        "error: PRECHECK_FAILED: guest vm1 cannot go to host2",
        f"  because:  NO_MEMORY: {MEMORY}",
        f"  because:  NO_SPOOL_ROOM: {SPOOL}",
        "  guest:    vm1, on host1",
    ]


def test_a_cause_that_the_message_does_not_name_is_told() -> None:
    told = render.error(
        Unreachable("GUEST_UNKNOWN", "guest vm1 was not found", violations=("host2: refused",))
    )
    assert told == ["error: GUEST_UNKNOWN: guest vm1 was not found", "  because:  host2: refused"]


def test_causes_that_a_message_has_in_other_words_leave_it_whole() -> None:
    told = refused("PRECHECK_FAILED", "it cannot go", "NO_MEMORY: none", "NO_SPOOL_ROOM: none")
    assert told[0] == "error: PRECHECK_FAILED: it cannot go"
    assert len(told) == 4


def test_people_read_names_and_not_ids() -> None:
    told = refused(
        "DENIED", "spiffe://home/operator/a.b may not migrate: ask spiffe://home/node/n1."
    )
    assert told[0] == "error: DENIED: operator a.b may not migrate: ask node n1."


def test_a_fault_of_the_command_line_needs_no_code() -> None:
    assert render.error(UsageFault("USAGE", "say how")) == ["error: say how"]


@pytest.mark.slow
async def test_several_failed_prechecks_send_the_operator_to_check(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1")
    host1.answers["StartMigration"] = Refusal(
        "FAILED_PRECONDITION",
        f"guest vm1 cannot go to host2: {MEMORY}; {SPOOL}",
        "PRECHECK_FAILED",
        (("NO_MEMORY", MEMORY), ("NO_SPOOL_ROOM", SPOOL)),
        {"guest": "vm1", "location": "on host1, unchanged", "advice": "free memory on host2"},
    )
    ended = await alice.run("migrate", "vm1", "host2")
    assert ended.code == 3
    assert ended.err.splitlines() == [
        "error: PRECHECK_FAILED: guest vm1 cannot go to host2",
        f"  because:  NO_MEMORY: {MEMORY}",
        f"  because:  NO_SPOOL_ROOM: {SPOOL}",
        "  guest:    vm1, on host1, unchanged",
        "  do next:  bmigctl check vm1 host2 tells what to do about each",
    ]
