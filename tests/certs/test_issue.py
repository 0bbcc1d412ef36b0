"""The command line: where it can be started from, what it says, and how it ends."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import certs.issue
from certs import placing
from certs.authority import Validity, issue_node, issue_operator, make_ca
from certs.issue import cli

ROOT = Path(certs.issue.__file__).parent.parent
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_cluster_is_made_renewed_and_shown(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = run("ca", "--cluster", "lab", "--out", out)
    assert made.output.split() == [str(out / "ca.pem"), str(out / "ca.key")]
    assert run("node", "host1", "host2", "--out", out).exit_code == 0
    assert run("operator", "alice", "--out", out).exit_code == 0
    assert run("renew", "host2", "--out", out).exit_code == 0
    shown = run("show", "--out", out)
    assert shown.exit_code == 0
    rows = [line.split()[:2] for line in shown.output.splitlines()]
    assert rows == [
        ["ca", "spiffe://lab"],
        ["node", "spiffe://lab/node/host1"],
        ["node", "spiffe://lab/node/host2"],
        ["operator", "spiffe://lab/operator/alice"],
    ]


def test_out_may_stand_before_or_after_the_command(tmp_path: Path) -> None:
    assert run("--out", tmp_path / "a", "ca", "--cluster", "lab").exit_code == 0
    assert (
        run("--out", tmp_path / "x", "ca", "--cluster", "lab", "--out", tmp_path / "b").exit_code
        == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_show_marks_what_expires_soon(tmp_path: Path) -> None:
    make_ca(tmp_path, "lab")
    issue_node(tmp_path, "host1", Validity(NOW, NOW + 10 * DAY))
    shown = run("show", "--out", tmp_path)
    assert shown.exit_code == 0
    assert [" soon " in line for line in shown.output.splitlines()] == [False, True]


def test_show_marks_what_expired_and_fails(tmp_path: Path) -> None:
    make_ca(tmp_path, "lab")
    issue_node(tmp_path, "host1", Validity(NOW - 9 * DAY, NOW - DAY))
    issue_operator(tmp_path, "alice")
    shown = run("show", "--out", tmp_path)
    assert shown.exit_code == 1
    assert [" EXPIRED " in line for line in shown.output.splitlines()] == [False, True, False]


def test_show_without_a_ca_or_with_something_else_in_it_says_so(tmp_path: Path) -> None:
    assert "ca.pem: no such file or directory" in run("show", "--out", tmp_path).output
    make_ca(tmp_path, "lab")
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "host1.pem").write_text("nothing")
    issue_node(tmp_path, "host2", Validity(NOW - 9 * DAY, NOW - DAY))
    shown = run("show", "--out", tmp_path)
    assert shown.exit_code == 1
    assert "host1.pem: is not a certificate made here; `renew host1 --kind node`" in shown.output
    assert "host2" in shown.output  # and hides nothing
    assert " EXPIRED " in shown.output


def test_what_the_file_system_refuses_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = run("ca", "--cluster", "lab", "--out", tmp_path / "file" / "ca")
    assert refused.exit_code == 1
    assert "file/ca: not a directory; nothing more was done" in refused.output
    make_ca(tmp_path, "lab")
    (tmp_path / "nodes").touch()
    refused = run("node", "host1", "--out", tmp_path)
    assert refused.exit_code == 1
    assert "nodes: file exists; nothing more was done" in refused.output


def test_an_unfinished_file_is_told_by_the_name_that_it_was_to_have(tmp_path: Path) -> None:
    whole = tmp_path / "nodes/host1.pem"
    assert placing.final_path(tmp_path / "nodes/.host1.pem.6b45e21c8821cd62") == whole
    assert placing.final_path(whole) == whole


@pytest.mark.parametrize("command", ["node", "operator"])
def test_of_several_names_none_is_issued_when_one_is_refused(tmp_path: Path, command: str) -> None:
    make_ca(tmp_path, "lab")
    refused = run(command, "host1", "no/name", "--out", tmp_path)
    assert refused.exit_code == 1
    assert f"'no/name': is no {command}'s name; " in refused.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.key", "ca.pem"]


@pytest.mark.parametrize("days", ["0", "-1", "soon", "36501", "99999999999"])
def test_a_certificate_cannot_be_issued_dead(tmp_path: Path, days: str) -> None:
    assert run("ca", "--cluster", "lab", "--days", days, "--out", tmp_path).exit_code == 2


def test_a_refusal_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    make_ca(tmp_path, "lab")
    refused = run("ca", "--cluster", "lab", "--out", tmp_path)
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    assert len(refused.output.splitlines()) == 1


def test_what_is_issued_by_default_is_ignored_by_git() -> None:
    assert certs.issue.DEFAULT_OUT == ROOT / "certs" / "out"
    assert "certs/out/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.slow
@pytest.mark.parametrize("start", [["-m", "certs.issue"], [str(ROOT / "certs" / "issue.py")]])
def test_it_starts_as_a_module_and_as_a_file(tmp_path: Path, start: list[str]) -> None:
    at = ROOT if start[0] == "-m" else tmp_path
    command = [sys.executable, *start, "ca", "--cluster", "lab", "--out", str(tmp_path / "out")]
    ran = subprocess.run(command, cwd=at, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "out" / "ca.pem").exists()
