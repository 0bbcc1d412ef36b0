"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from bmigd import config
from docs.diagrams import PROTOCOL, redrawn

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "certs/README.md"]


def test_the_diagrams_are_those_of_the_tables() -> None:
    text = PROTOCOL.read_text(encoding="utf-8")
    assert redrawn(text) == text, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readmes_configuration_is_correct() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(   \[node\].*?)```", text, re.DOTALL)
    parsed = config.parse(example, Path("/usr/local/etc/bmigd.toml"))
    assert (parsed.node.name, parsed.bhyve is not None) == ("host1", True)
