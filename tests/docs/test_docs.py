"""The documents say what the code does: diagrams, configuration, reasons, links, examples."""

import ast
import re
from pathlib import Path
from textwrap import dedent

import pytest
from bmigctl.definition import parse
from bmigctl.errors import BmigctlError

from bmigd import config
from bmigd.transfer.pages import chunk_digest, page_hashes
from docs import configuration, diagrams

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name / "README.md" for name in ("certs", "microvm", "proto")),
    ]
)
MULTIPLE_WORDS = re.compile(r'"([A-Z]+(?:_[A-Z]+)+)(?::[^"]*)?"')
FIRST_ARGUMENT = re.compile(r'[a-z]\(\s*f?"([A-Z]{5,})(?::[^"]*)?",')
# In capitals, but no reason: OpenSSL's words, kernel words, a state, variables.
NO_REASONS = {"ACCESS_DENIED", "DECRYPT_ERROR", "UNKNOWN_CA", "BHYVE_SNAPSHOT", "LET_GO"}
NO_REASONS |= {"BMIGD_CRASH_POINT", "BMIG_DIRTYLOG_SOCKET", "LD_PRELOAD", "PAGEMAP_SCAN"}
NO_REASONS |= {"GRPC_VERBOSITY"}


def read(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def readme_toml() -> list[str]:
    """The TOML examples of the README, without their indentation."""
    found = re.findall(r"```toml\n(.*?)```", read("README.md"), re.DOTALL)
    return [dedent(text) for text in found]


def reasons() -> set[str]:
    """Every stable reason in the daemon's source."""
    found: set[str] = set()
    for path in (ROOT / "bmigd").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(MULTIPLE_WORDS.findall(text)) | set(FIRST_ARGUMENT.findall(text))
    return found - NO_REASONS


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


def is_broken(page: Path, target: str) -> bool:
    """Whether a link of a page leads nowhere."""
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    return not path.exists() or bool(anchor and anchor not in anchors(path))


def test_the_diagrams_are_those_of_the_tables() -> None:
    text = diagrams.PROTOCOL.read_text(encoding="utf-8")
    assert diagrams.redrawn(text) == text, "run `python -m docs.diagrams`"


def test_every_field_of_the_configuration_is_described() -> None:
    assert configuration.PAGE.read_text(encoding="utf-8") == configuration.page(), (
        "run `python -m docs.configuration`"
    )
    for _, model in configuration.sections():
        for name in model.model_fields:
            assert f"| `{name}` |" in configuration.page()
    for name in config.Config.model_fields:
        assert f"[{name}]" in configuration.page()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    assert [target for target in targets if is_broken(page, target)] == []


def test_every_reason_is_listed() -> None:
    listed = set(re.findall(r"`([A-Z_]+)`", read("docs/FAILURES.md")))
    assert len(reasons()) > 60
    assert sorted(reasons() - listed) == []


def told_by_bmigctl() -> set[str]:
    """Every reason that bmigctl gives by itself: the first argument of an error or a cause."""
    calls = [
        node
        for path in (ROOT / "client/bmigctl").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args
    ]
    errors = {one.__name__ for one in BmigctlError.__subclasses__()}
    errors |= {"BmigctlError", "Cause", "_nowhere"}
    told = [ast.unparse(one.args[0]) for one in calls if ast.unparse(one.func) in errors]
    return {one.strip("'") for one in told if re.fullmatch("'[A-Z_]+'", one)}


def test_the_reasons_of_bmigctl_are_listed_and_no_other() -> None:
    table = read("docs/FAILURES.md").partition("### bmigctl itself")[2]
    cells = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    listed = set(re.findall(r"`([A-Z_]+)`", cells))
    nodes_too = {one for one in told_by_bmigctl() if one in reasons()}
    assert len(told_by_bmigctl()) > 25
    assert sorted(told_by_bmigctl() - nodes_too - listed) == []
    assert sorted(listed - told_by_bmigctl()) == []


def test_no_reason_is_listed_that_does_not_exist() -> None:
    table = read("docs/FAILURES.md").partition("## Reasons")[2].partition("### bmigctl itself")[0]
    first_cells = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    # Two that are handed on by name, not by a literal as first argument.
    handed_on = {"TIMEOUT", "DENIED", "RESOLVED", "CANCELLED", "INTERNAL"}
    assert sorted(set(re.findall(r"`([A-Z_]+)`", first_cells)) - reasons() - handed_on) == []


def test_the_readmes_configurations_are_correct() -> None:
    nodes = [text for text in readme_toml() if "[node]" in text]
    parsed = [config.parse(text, Path("/usr/local/etc/bmigd.toml")) for text in nodes]
    assert [one.node.name for one in parsed] == ["host1", "host2"]
    assert all(one.bhyve for one in parsed)


def test_the_readmes_other_driver_can_take_the_place_of_bhyve() -> None:
    first = next(text for text in readme_toml() if "[node]" in text)
    (qemu,) = (text for text in readme_toml() if text.startswith("[storage]"))
    text = first[: first.index("[storage]")] + qemu
    parsed = config.parse(text, Path("/usr/local/etc/bmigd.toml"))
    assert (parsed.bhyve, parsed.qemu is not None) == (None, True)
    assert (set(parsed.storage), set(parsed.networks)) == ({"tank"}, {"lan"})


def test_the_readmes_guests_are_correct() -> None:
    guests = [parse(text, "README.md") for text in readme_toml() if "driver =" in text]
    assert [(one.name, one.driver) for one in guests] == [("vm1", "bhyve"), ("vm1", "qemu")]


def test_the_protocols_example_of_a_digest_is_correct() -> None:
    hashes = page_hashes(b"a" * 4096, 42)
    assert f"`{chunk_digest(hashes.tobytes()).hex()}`" in read("docs/PROTOCOL.md")
