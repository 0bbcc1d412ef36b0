"""Writes docs/CONFIGURATION.md from the models of bmigd/config.py.

`python -m docs.configuration` rewrites it; `--check` exits 1 if it is not current.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bmigd import config

PAGE = Path(__file__).parent / "CONFIGURATION.md"
UNITS = {"_mib_per_s": "MiB/s", "_s": "seconds", "_mib": "MiB", "_chunks": "chunks of 1 MiB"}
# How the table of a field is written in the file, where it is not its name alone.
HEADINGS = {"operators": "[[operators]]", "peers": "[[peers]]"}
PREFACE = """\
# Configuration of bmigd

Made from `bmigd/config.py` by `python -m docs.configuration`; do not edit it here.

One TOML file, `/usr/local/etc/bmigd.toml` unless `--config` names another. It is read once, at
the start: restart the daemon after a change, guests go on. Relative paths start at the file's
directory. An unknown or wrong field stops the start and is named. `bmigd --check-config` only
checks, and warns of what the file asks for and this host or its own rules do not have: programs,
directories, bridges, a journal, rights. [README.md](../README.md) has two minimal complete
examples.
"""


def sections() -> Iterator[tuple[str, type[config.Section]]]:
    """Every table of the file and its model."""
    for name, info in config.Config.model_fields.items():
        for model in _models(info.annotation):
            yield HEADINGS.get(name, f"[{name}]"), model


def _models(annotation: object) -> Iterator[type[config.Section]]:
    if isinstance(annotation, type) and issubclass(annotation, config.Section):
        yield annotation
    for inner in get_args(annotation) if get_origin(annotation) is not None else ():
        yield from _models(inner)


def page() -> str:
    """The whole page."""
    parts = [PREFACE]
    mappings = []
    for name, info in config.Config.model_fields.items():
        models = list(_models(info.annotation))
        if not models:
            mappings.append(f"| `[{name}]` | {info.description} |")
    for heading, model in sections():
        parts.append(f"## `{heading}`\n\n{_summary(model)}\n\n{_table(model)}\n")
    parts.append(
        "## Tables of your own names\n\n| table | what |\n|---|---|\n" + "\n".join(mappings) + "\n"
    )
    return "\n".join(parts)


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


def _table(model: type[config.Section]) -> str:
    rows = ["| field | unit | default | what |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {_unit(name)} | {_default(info)} | {_what(info)} |"
        for name, info in model.model_fields.items()
    ]
    return "\n".join(rows)


def _unit(name: str) -> str:
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f"`{value}`" if isinstance(value, int | float) else f'`"{value}"`'


def _what(info: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(rule, name)}"
        for rule in info.metadata
        for name, words in (("gt", "above"), ("ge", "at least"), ("le", "at most"))
        if getattr(rule, name, None) is not None
    ]
    choices = [f"`{one}`" for one in get_args(info.annotation) if isinstance(one, str)]
    more = [*(["one of " + ", ".join(choices)] if choices else []), *bounds]
    return (info.description or "") + (f" ({'; '.join(more)})" if more else "")


def main() -> int:
    """Rewrite, or check."""
    new = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
