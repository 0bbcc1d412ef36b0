"""`bmigctl guest` and `node` as processes."""

import json
from pathlib import Path

import pytest
from bmig.v1 import guest_pb2, node_pb2

from bmigd.rpc.guest import LONGEST_STOP_S
from tests.bmigctl.conftest import Operator
from tests.bmigctl.nodes import FakeNode, Refusal, guest
from tests.bmigctl.test_definition import GOOD

pytestmark = pytest.mark.slow

STOPPED = guest_pb2.GUEST_STATE_STOPPED


@pytest.fixture
def vm1_toml(tmp_path: Path) -> str:
    path = tmp_path / "vm1.toml"
    path.write_text(GOOD.replace("uuid", "# uuid"))
    return str(path)


async def test_nodes_that_are_only_known_are_listed_too(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    ended = await alice.run("node", "list")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "NODE   STATE  VERSION  DRIVERS  MEMORY FREE",
        "host1  ok     0.1.0    bhyve    512 MiB of 1 GiB",
        "host2  ok     0.1.0    bhyve    512 MiB of 1 GiB",
    ]


async def test_a_node_that_answers_with_what_is_wrong_is_listed_with_that(
    alice: Operator, host2: FakeNode
) -> None:
    host2.answers["GetNode"] = Refusal("INTERNAL", "the spool is gone", "SPOOL_UNUSABLE")
    ended = await alice.run("node", "list")
    assert "host2  SPOOL_UNUSABLE  -" in ended.out
    assert "the spool is gone" in ended.err


async def test_a_node_out_of_reach_is_listed_with_the_cause_below(
    alice: Operator, host2: FakeNode
) -> None:
    await host2.stop()
    ended = await alice.run("node", "list")
    assert ended.code == 0
    assert ended.out.splitlines()[2].split() == ["host2", "not", "asked", "-", "-", "-"]
    assert f"not asked: host2 at {host2.address}: connection refused" in ended.err


async def test_a_node_is_shown_with_those_it_knows(alice: Operator, host2: FakeNode) -> None:
    ended = await alice.run("node", "show", "host1")
    assert ended.code == 0
    assert f"host2 ({host2.address})" in ended.out


async def test_an_unknown_node_is_named_with_the_known_ones(
    alice: Operator, host2: FakeNode
) -> None:
    ended = await alice.run("guest", "list", "--node", "host9")
    assert ended.code == 2
    assert "no node host9; known: host1, host2" in ended.err


async def test_a_definition_gets_a_uuid_once(
    alice: Operator, host1: FakeNode, vm1_toml: str
) -> None:
    for _ in range(2):
        ended = await alice.run("guest", "define", vm1_toml)
        assert (ended.code, ended.out) == (0, "guest vm1: defined on host1\n"), ended
    first, second = host1.seen(guest_pb2.DefineGuestRequest)
    assert first == second
    assert first.definition.uuid


@pytest.mark.usefixtures("host2")
async def test_with_several_nodes_a_definition_must_say_which(
    alice: Operator, host1: FakeNode, vm1_toml: str
) -> None:
    ended = await alice.run("guest", "define", vm1_toml)
    assert ended.code == 2
    assert "say on which node: host1, host2" in ended.err
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1")
    assert ended.code == 0
    assert len(host1.seen(guest_pb2.DefineGuestRequest)) == 1


async def test_a_guest_that_has_moved_is_not_defined_where_it_was(
    alice: Operator, host1: FakeNode, host2: FakeNode, vm1_toml: str
) -> None:
    host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1")
    assert ended.code == 3
    assert "NAME_TAKEN: guest vm1 is defined on host2 already" in ended.err
    assert not host1.seen(guest_pb2.DefineGuestRequest)


async def test_a_name_that_is_on_its_way_to_a_node_is_not_called_defined_there(
    alice: Operator, host1: FakeNode, host2: FakeNode, vm1_toml: str
) -> None:
    coming = host2.guests["vm1"] = guest("vm1")
    coming.state, coming.migration_id = guest_pb2.GUEST_STATE_MIGRATING_IN, "7f3a"
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1")
    assert ended.code == 3
    assert "NAME_TAKEN: guest vm1 is being received by host2" in ended.err
    assert "bmigctl show 7f3a" in ended.err
    assert not host1.seen(guest_pb2.DefineGuestRequest)


async def test_a_name_that_a_silent_node_may_have_is_defined_only_on_the_operators_word(
    alice: Operator, host1: FakeNode, host2: FakeNode, vm1_toml: str
) -> None:
    await host2.stop()
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1")
    assert ended.code == 6
    assert "NAME_NOT_SURE: host2 could not be asked and may have a guest vm1" in ended.err
    assert "connection refused" in ended.err
    assert "--not-on host2" in ended.err
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1", "--not-on", "host3")
    assert ended.code == 6
    assert not host1.seen(guest_pb2.DefineGuestRequest)
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1", "--not-on", "host2")
    assert (ended.code, ended.out) == (0, "guest vm1: defined on host1\n"), ended


async def test_no_word_counts_against_a_node_that_has_the_guest(
    alice: Operator, host1: FakeNode, host2: FakeNode, vm1_toml: str
) -> None:
    host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "define", vm1_toml, "--node", "host1", "--not-on", "host2")
    assert ended.code == 3
    assert "NAME_TAKEN" in ended.err
    assert not host1.seen(guest_pb2.DefineGuestRequest)


async def test_a_guest_is_recovered_where_it_is_said(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    await host2.stop()
    ended = await alice.run("guest", "recover", "vm1", "--node", "host1", "--not-on", "host2")
    assert (ended.code, ended.out) == (
        0,
        "guest vm1: defined on host1 as it was when it left\n",
    )
    [request] = host1.seen(guest_pb2.RecoverGuestRequest)
    assert (request.name, list(request.not_on)) == ("vm1", ["host2"])


async def test_a_wrong_definition_is_refused_before_any_node_is_asked(
    alice: Operator, host1: FakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace("cores", "coers"))
    ended = await alice.run("guest", "define", str(path))
    assert ended.code == 2
    assert 'unknown key "coers"' in ended.err
    assert host1.requests == []


async def test_power_is_switched_where_the_guest_is(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host2.guests["vm1"] = guest("vm1", STOPPED)
    ended = await alice.run("guest", "start", "vm1")
    assert (ended.code, ended.out) == (0, "guest vm1: running on host2\n")
    ended = await alice.run("guest", "stop", "vm1", "--timeout", "5", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["guest"]["state"] == "GUEST_STATE_STOPPED"
    [request] = host2.seen(guest_pb2.StopGuestRequest)
    assert (request.force, request.timeout_s) == (False, 5)


async def test_the_longest_time_to_stop_is_that_of_a_node(alice: Operator, host1: FakeNode) -> None:
    host1.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "stop", "vm1", "--timeout", str(LONGEST_STOP_S))
    assert ended.code == 0
    ended = await alice.run("guest", "stop", "vm1", "--timeout", str(LONGEST_STOP_S + 1))
    assert ended.code == 2
    [request] = host1.seen(guest_pb2.StopGuestRequest)
    assert request.timeout_s == LONGEST_STOP_S


async def test_a_guest_that_ignores_the_button_is_a_failure_with_advice(
    alice: Operator, host1: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1")
    host1.answers["StopGuest"] = Refusal(
        "DEADLINE_EXCEEDED", "vm1 did not power off within 60 s", "STOP_TIMEOUT"
    )
    ended = await alice.run("guest", "stop", "vm1")
    assert ended.code == 1
    assert "--force" in ended.err


async def test_a_guest_in_two_places_must_be_named_with_its_node(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = host2.guests["vm1"] = guest("vm1", STOPPED)
    ended = await alice.run("guest", "start", "vm1")
    assert ended.code == 3
    assert "guest vm1 is on host1 and on host2" in ended.err
    ended = await alice.run("--node", "host2", "guest", "start", "vm1")
    assert ended.code == 0
    assert len(host2.seen(guest_pb2.StartGuestRequest)) == 1


@pytest.mark.parametrize(
    "state",
    ["RUNNING", "MIGRATING_OUT", "SUSPENDED", "IN_DOUBT"],
)
async def test_a_guest_is_not_started_where_it_would_be_a_second_one(
    alice: Operator, host1: FakeNode, host2: FakeNode, state: str
) -> None:
    host1.guests["vm1"] = guest("vm1", getattr(guest_pb2, f"GUEST_STATE_{state}"))
    host2.guests["vm1"] = guest("vm1", STOPPED)
    ended = await alice.run("guest", "start", "vm1", "--node", "host2")
    assert ended.code == 3
    word = state.lower().replace("_", " ")
    assert f"guest vm1 is {word} on host1: started on host2 too, both would write" in ended.err
    assert "bmigctl guest undefine vm1 --node host2" in ended.err
    assert host2.seen(guest_pb2.StartGuestRequest) == []


async def test_of_a_guest_that_arrives_its_node_says_why_it_is_not_started(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_OUT)
    host2.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_IN)
    host2.answers["StartGuest"] = Refusal("ABORTED", "guest vm1 is part of 7f3a", "GUEST_BUSY")
    ended = await alice.run("guest", "start", "vm1", "--node", "host2")
    assert ended.code == 3
    assert "GUEST_BUSY: guest vm1 is part of 7f3a" in ended.err


async def test_whoever_could_not_say_whether_a_guest_runs_there_is_named(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1", STOPPED)
    await host2.stop()
    ended = await alice.run("guest", "start", "vm1", "--node", "host1")
    assert (ended.code, ended.out) == (0, "guest vm1: running on host1\n")
    assert ended.err.startswith("not asked: host2 at ")


async def test_a_guest_that_runs_twice_is_an_emergency_with_what_to_do_now(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "show", "vm1")
    assert ended.code == 3
    assert "guest vm1 runs on host1 and on host2: both write the same disks" in ended.err
    assert "bmigctl guest stop vm1 --force --node host1 or --node host2" in ended.err


async def test_a_list_says_which_guest_runs_twice(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = host2.guests["vm1"] = guest("vm1")
    host2.guests["vm2"] = guest("vm2")
    ended = await alice.run("guest", "list")
    assert (ended.code, ended.out.count("vm1")) == (1, 2)
    assert "guest vm1 runs on host1 and on host2: both write the same disks" in ended.err
    assert "guest vm2" not in ended.err


async def test_one_that_a_node_has_not_put_away_yet_is_no_reason_to_end_the_other(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_OUT)
    host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "list")
    assert ended.code == 1
    assert "end neither: bmigctl list --guest vm1" in ended.err
    assert "--force" not in ended.err


async def test_a_list_does_not_take_a_guest_on_the_move_for_two(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    leaving = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_OUT)
    told = [node_pb2.ListGuestsResponse(guests=[leaving]), node_pb2.ListGuestsResponse()]
    host1.answers["ListGuests"] = lambda _: told.pop(0)
    host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "list")
    assert (ended.code, ended.out.count("vm1"), told) == (0, 1, [])


async def test_a_guest_met_on_both_nodes_while_it_moves_is_looked_for_again(
    alice: Operator, host1: FakeNode, host2: FakeNode
) -> None:
    leaving = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_OUT)
    told = [node_pb2.ListGuestsResponse(guests=[leaving]), node_pb2.ListGuestsResponse()]
    host1.answers["ListGuests"] = lambda _: told.pop(0)
    host2.guests["vm1"] = guest("vm1")
    ended = await alice.run("guest", "show", "vm1")
    assert ended.code == 0, ended
    assert told == []


async def test_a_guest_that_only_arrives_is_shown_where_it_arrives(
    alice: Operator, host1: FakeNode
) -> None:
    host1.guests["vm1"] = guest("vm1", guest_pb2.GUEST_STATE_MIGRATING_IN)
    ended = await alice.run("guest", "show", "vm1")
    assert ended.code == 0
    assert "state:  migrating in" in ended.out


async def test_undefine_refuses_what_runs(alice: Operator, host1: FakeNode) -> None:
    host1.guests["vm1"] = guest("vm1")
    host1.answers["UndefineGuest"] = Refusal(
        "FAILED_PRECONDITION", "guest vm1 is running", "GUEST_RUNNING"
    )
    ended = await alice.run("guest", "undefine", "vm1")
    assert ended.code == 3
    assert "running on host1 (nothing was changed)" in ended.err
    assert "stop the guest first" in ended.err


async def test_a_right_that_is_missing_is_told(alice: Operator, host1: FakeNode) -> None:
    host1.answers["ListGuests"] = Refusal(
        "PERMISSION_DENIED", "operator alice may not read guests here", "DENIED"
    )
    ended = await alice.run("guest", "list")
    assert ended.code == 3
    assert "DENIED: operator alice may not read guests here" in ended.err
