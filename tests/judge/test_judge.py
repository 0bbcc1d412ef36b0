"""The judge finds a forged double run, a memory that went back, a wrong chain, and journals that
disagree; and has nothing against a guest that was moved, restored or cold-started.
"""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.judge import observed
from tests.judge.observed import Line, Observer
from tests.judge.verdict import Entry, judge
from tests.oracle import Oracle, Params, params_of


@pytest.fixture(scope="module")
def rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rom") / "vm1.rom"
    options = ("--rate", "5", "--working-set", "16M", "--heartbeat-ms", "50")
    subprocess.run([sys.executable, "-m", "microvm", "rom", path, *options], check=True)
    return path


@pytest.fixture(scope="module")
def params(rom: Path) -> Params:
    return params_of(rom.read_bytes())


def beats(params: Params, node: str, life: int, times: range, first_n: int) -> list[Line]:
    """A heartbeat of ten operations every tenth of a second, at times in tenths."""
    oracle = Oracle(params)
    lines = []
    for count, tenth in enumerate(times):
        n = first_n + 10 * count
        lines.append(Line(tenth / 10, "vm1", node, life, n, f"{oracle.advance(n):016x}"))
    return lines


def problems(params: Params, lines: list[Line], *entries: Entry) -> list[str]:
    return judge(lines, {"vm1": params}, list(entries)).problems


def test_a_guest_that_moved_there_and_back_is_fine(params: Params) -> None:
    lines = [
        Line(0, "vm1", "host1", 1),
        *beats(params, "host1", 1, range(1, 50), 10),
        *beats(params, "host2", 2, range(53, 100), 500),
        *beats(params, "host1", 3, range(103, 150), 970),
    ]
    assert problems(params, lines) == []


def test_a_guest_that_was_brought_back_is_fine(params: Params) -> None:
    lines = beats(params, "host1", 1, range(50), 10)
    lines += beats(params, "host1", 1, range(90, 150), 510)
    assert problems(params, lines) == []


def test_a_guest_that_was_started_afresh_elsewhere_is_fine(params: Params) -> None:
    lines = beats(params, "host1", 1, range(50), 10)
    lines += [Line(6, "vm1", "host2", 2), *beats(params, "host2", 2, range(61, 99), 10)]
    assert problems(params, lines) == []


def test_two_copies_at_once_are_found(params: Params) -> None:
    lines = beats(params, "host1", 1, range(80), 10)
    lines += beats(params, "host2", 2, range(50, 80), 510)
    found = problems(params, lines)
    assert found[0].startswith("vm1 ran on host1 and on host2 at once for 2.9 s")
    assert "vm1 runs on host1 and host2 at the end" in found


def test_two_copies_are_found_though_one_was_started_afresh(params: Params) -> None:
    lines = beats(params, "host1", 1, range(80), 10)
    lines += [Line(5, "vm1", "host2", 2), *beats(params, "host2", 2, range(51, 70), 10)]
    assert any("at once" in problem for problem in problems(params, lines))


def test_an_older_memory_is_found(params: Params) -> None:
    lines = beats(params, "host1", 1, range(50), 10)
    lines += beats(params, "host2", 2, range(53, 70), 510)
    lines += beats(params, "host1", 1, range(90, 99), 510)
    assert any("went back from n=670 on host2 to n=510" in one for one in problems(params, lines))


def test_a_wrong_chain_is_found(params: Params) -> None:
    lines = beats(params, "host1", 1, range(50), 10)
    assert any("chain should be" in one for one in problems(params, [*lines, _spoilt(lines[-1])]))


def _spoilt(line: Line) -> Line:
    return Line(line.at_s + 0.1, line.guest, line.node, line.life, line.n + 10, "0" * 16)


@pytest.mark.parametrize(
    ("source", "destination", "is_fine"),
    [
        ("RELEASED", "RUNNING", True),
        ("RECLAIMED", "RETURNED", True),
        ("RECLAIMED", "RUNNING", False),
        ("ABORTED", "RUNNING", False),
        ("RELEASED", "REFUSED", False),
        ("LET_GO", "TAKEN", False),
    ],
)
def test_journals_must_agree(params: Params, source: str, destination: str, is_fine: bool) -> None:
    entries = [
        Entry("host1", "m1", "source", "vm1", source),
        Entry("host2", "m1", "destination", "vm1", destination),
    ]
    found = problems(params, beats(params, "host1", 1, range(9), 10), *entries)
    assert (found == []) == is_fine


def test_consoles_are_seen_as_they_grow_and_go(tmp_path: Path, params: Params) -> None:
    consoles = {node: tmp_path / node / "vm1" / "console.log" for node in ("host1", "host2")}
    observer = Observer({node: path.parents[1] for node, path in consoles.items()})
    for path in consoles.values():
        path.parent.mkdir(parents=True)
    consoles["host1"].write_bytes(b"BOOT seed=1\r\nHB n=5 chain=00000000000000aa bad=0\r\nHB n=")
    observer._look()
    with consoles["host1"].open("ab") as console:
        console.write(b"6 chain=00000000000000ab bad=1\r\n")
    observer._look()
    consoles["host1"].unlink()
    consoles["host1"].write_bytes(b"HB n=9 chain=00000000000000ac bad=0\r\n")
    observer.start()
    lines = observer.stop()
    told = [(line.life, line.n, line.bad) for line in lines]
    assert told == [(1, -1, 0), (1, 5, 0), (1, 6, 1), (2, 9, 0)]


def test_the_program_judges_a_recorded_run(tmp_path: Path, rom: Path, params: Params) -> None:
    journal = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(journal)
    connection.execute("CREATE TABLE migrations (id, side, guest, state)")
    connection.execute("INSERT INTO migrations VALUES ('m1', 'source', 'vm1', 'LET_GO')")
    connection.commit()
    connection.close()
    observed.write(beats(params, "host1", 1, range(9), 10), tmp_path / "seen")
    files = ("--rom", f"vm1={rom}", "--journal", f"host1={journal}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.judge", str(tmp_path / "seen"), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "WRONG: migration m1: source LET_GO, destination ",
            "9 heartbeats of 1 lives and 0 boots, 1 migrations: 1 problems",
        ],
    )
