"""The command line itself: help, version, completion, and causes of unreachable nodes."""

import json
from datetime import timedelta
from pathlib import Path

import click
import pytest
from bmigctl import exits, session
from bmigctl.cli import cli
from bmigctl.errors import UsageFault

from tests.bmigctl.conftest import Operator, finish, write_config
from tests.bmigctl.nodes import FakeNode, guest
from tests.bmigctl.pki import DAY, Authority

HOUR = timedelta(hours=1)


def verbs(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    """Every verb with its path."""
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += verbs(command, f"{path}{name} ")
        else:
            found.append((path + name, command))
    return found


@pytest.mark.parametrize(("path", "verb"), verbs(cli))
def test_every_verb_says_what_it_does_and_shows_an_example(path: str, verb: click.Command) -> None:
    with click.Context(verb, info_name=f"bmigctl {path}") as context:
        told = verb.get_help(context)
    assert "Example:" in told
    assert f"    bmigctl {path}" in told
    assert max(map(len, told.splitlines())) <= 80
    for parameter in verb.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_exit_codes_are_distinct_and_in_the_help() -> None:
    codes = [code for code, _ in exits.MEANINGS]
    assert len(set(codes)) == len(codes)
    with click.Context(cli, info_name="bmigctl") as context:
        told = cli.get_help(context)
    for code, meaning in exits.MEANINGS:
        assert f"{code:<4} {meaning}" in told


def test_an_unexpected_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("nobody thought of this\nand more")

    assert session.conclude(session.Session(), fail) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: BUG: bmigctl failed: RuntimeError: nobody thought of this\n")
    assert "Traceback" not in told


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UsageFault("SOME", "something")

    assert session.conclude(session.Session(debug=True), fail) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_output_that_cannot_be_written_is_said_and_is_no_bug(
    alice: Operator, host1: FakeNode, options: tuple[str, ...]
) -> None:
    host1.guests["vm1"] = guest("vm1")
    with Path("/dev/full").open("wb") as full:
        process = await alice.start("guest", "list", *options, stdout=full)
        ended = await finish(process)
    assert ended.code == 1
    assert ended.err == (
        "bmigctl: the output could not be written: [Errno 28] No space left on device\n"
    )


@pytest.mark.slow
async def test_the_version_is_told(alice: Operator) -> None:
    ended = await alice.run("--version")
    assert ended.code == 0
    assert ended.out.startswith("bmigctl ")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_is_printed(alice: Operator, shell: str) -> None:
    ended = await alice.run("completion", shell)
    assert ended.code == 0
    assert "_BMIGCTL_COMPLETE" in ended.out


@pytest.mark.slow
async def test_wrong_usage_is_an_object_with_json(alice: Operator) -> None:
    ended = await alice.run("list", "--json", "--nonsense")
    assert ended.code == 2
    assert json.loads(ended.out)["kind"] == "error"


@pytest.mark.slow
async def test_no_reachable_node_has_its_own_code(alice: Operator, host1: FakeNode) -> None:
    await host1.stop()
    ended = await alice.run("guest", "list")
    assert ended.code == 6
    assert ended.err.splitlines() == [
        f"error: CONNECTION_REFUSED: host1 at {host1.address}: connection refused, "
        "nothing listens there",
        "  do next:  start bmigd on host1, or correct its address",
    ]


@pytest.mark.slow
async def test_all_nodes_out_of_reach_are_named(
    alice: Operator, authority: Authority, host1: FakeNode
) -> None:
    await host1.stop()
    nodes = {"host1": host1.address, "host2": host1.address}
    write_config(alice.config, authority, nodes, "alice")
    ended = await alice.run("guest", "list")
    assert ended.code == 6
    assert "none of the nodes host1, host2 could be asked" in ended.err
    assert ended.err.count("because:") == 2


@pytest.mark.slow
async def test_the_certificate_must_be_of_the_name_and_not_of_the_address(
    alice: Operator, authority: Authority, host1: FakeNode
) -> None:
    write_config(alice.config, authority, {"host7": host1.address}, "alice")
    ended = await alice.run("guest", "list")
    assert ended.code == 6
    assert "WRONG_NODE" in ended.err
    assert "shows the certificate of host1, not of host7" in ended.err


@pytest.mark.slow
async def test_an_expired_node_certificate_is_told(alice: Operator, authority: Authority) -> None:
    old = authority.node("host1", begins=-DAY, ends=-HOUR)
    node = FakeNode("host1", authority, old)
    await node.start()
    write_config(alice.config, authority, {"host1": node.address}, "alice")
    ended = await alice.run("guest", "list")
    await node.stop()
    assert ended.code == 6
    assert "CERTIFICATE_EXPIRED" in ended.err


@pytest.mark.slow
async def test_our_certificate_of_another_cluster_is_told(
    alice: Operator, authority: Authority, tmp_path: Path
) -> None:
    mallory = Authority(tmp_path / "other", "other CA").operator("alice")
    directory = alice.config.parent
    (directory / "alice.pem").write_bytes(mallory.certificate.read_bytes())
    (directory / "alice.key").write_bytes(mallory.key.read_bytes())
    ended = await alice.run("guest", "list")
    assert ended.code == 6
    assert "OUR_CERTIFICATE_REJECTED" in ended.err


@pytest.mark.slow
async def test_our_expired_certificate_is_told_before_anybody_is_asked(
    alice: Operator, authority: Authority, host1: FakeNode
) -> None:
    authority.operator("alice", begins=-DAY, ends=-HOUR)
    ended = await alice.run("guest", "list")
    assert ended.code == 2
    assert "our own certificate" in ended.err
    assert host1.requests == []


@pytest.mark.slow
async def test_a_reader_that_has_seen_enough_is_no_error(alice: Operator, host1: FakeNode) -> None:
    host1.guests = {f"vm{n}": guest(f"vm{n}") for n in range(3000)}
    process = await alice.start("guest", "list", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(await process.stdout.readline())["kind"] == "guest"
    process.stdout._transport.close()  # type: ignore[attr-defined]
    told = await process.stderr.read()
    await process.wait()
    assert told == b""
