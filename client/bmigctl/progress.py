"""How a migration is told while it goes on: live on a terminal, lines elsewhere, or JSON.

Rule 1: the percentage shown never falls, and 100 is shown only for a completed migration.
Rule 2: kept events are all told; only progress samples are thinned. People read the reason of an
abort in the report only.
"""

from typing import Protocol

import click
from bmig.v1 import migration_pb2
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bmigctl import figures, jsonlines, report, units, words
from bmigctl.watch import InDoubt, StreamLost, StreamResumed, Update

_SAMPLE_MS = 2000


class Shown:
    """The latest progress, made steady for people."""

    def __init__(self, limit_ms: int) -> None:
        self.limit_ms = limit_ms or 300
        self.percent = 0
        self.phase = migration_pb2.PHASE_UNSPECIFIED
        self.progress = migration_pb2.Progress()
        self._sampled_at_ms = -_SAMPLE_MS

    def take(self, event: migration_pb2.Event) -> None:
        """Takes over what the event says."""
        self.phase = event.phase or self.phase
        if event.HasField("progress"):
            self.progress = event.progress
            done = self.phase == migration_pb2.PHASE_COMPLETED
            self.percent = max(self.percent, min(event.progress.percent, 100 if done else 99))

    def is_due(self, event: migration_pb2.Event) -> bool:
        """Whether this event is worth a line: a kept one always, a sample every 2 s."""
        if event.sequence:
            return True
        if event.at_ms - self._sampled_at_ms < _SAMPLE_MS:
            return False
        self._sampled_at_ms = event.at_ms
        return True

    def figures(self) -> list[str]:
        """All figures in short."""
        return [*self.extent(), *figures.pace(self.progress), *self.prospect()]

    def extent(self) -> list[str]:
        """How far it is."""
        return figures.extent(self.progress, self.percent)

    def prospect(self) -> list[str]:
        """What is to come."""
        return figures.prospect(self.progress, self.limit_ms)


def is_told_at_the_end(event: migration_pb2.Event) -> bool:
    """Whether the report, which comes next, says the same: why a migration was aborted."""
    return event.kind == "ended" and event.phase == migration_pb2.PHASE_ABORTED


def event_line(event: migration_pb2.Event, shown: Shown) -> str:
    """One event as a line."""
    at = units.clock_ms(event.at_ms)
    if event.kind == "progress":
        return f"{at}  {words.phase(shown.phase):<10} {', '.join(shown.figures())}"
    return f"{at}  {words.phase(event.phase):<10} {event.kind}: {event.message}"


def notice(update: StreamLost | StreamResumed | InDoubt) -> str:
    """What a watcher tells besides events."""
    match update:
        case StreamLost():
            return f"lost {update.node}: {update.cause}; trying again in {update.pause_s:g} s"
        case StreamResumed():
            return f"{update.node} answers again"
        case InDoubt():
            migration = update.migration
            if migration.failure.reason:
                return f"waiting for {migration.waiting_for}"
            return f"in doubt: {migration.destination} has not said what became of the guest"


class Teller(Protocol):
    """Tells an operator or a program what a watch yields; the last update included."""

    def tell(self, update: Update) -> None:
        """What is new."""

    def close(self) -> None:
        """There is nothing more."""


class JsonTeller:
    """One object a line."""

    def tell(self, update: Update) -> None:
        """As one object."""
        click.echo(jsonlines.of_update(update))

    def close(self) -> None:
        """Nothing is held."""


class LineTeller:
    """One line an event, for files and pipes."""

    def __init__(self, limit_ms: int) -> None:
        self._shown = Shown(limit_ms)

    def tell(self, update: Update) -> None:
        """As a line, if it is time for one."""
        match update:
            case migration_pb2.Event():
                self._shown.take(update)
                if self._shown.is_due(update) and not is_told_at_the_end(update):
                    click.echo(event_line(update, self._shown))
            case migration_pb2.Migration():
                click.echo("\n".join(report.summary(update)))
            case _:
                click.echo(notice(update), err=True)

    def close(self) -> None:
        """Nothing is held."""


class LiveTeller:
    """Events scroll by above a bar with the figures of now, for terminals."""

    def __init__(self, migration: migration_pb2.Migration) -> None:
        self._migration = migration
        self._shown = Shown(migration.options.downtime_limit_ms)
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def tell(self, update: Update) -> None:
        """In place, or as a line above if it is to stay."""
        match update:
            case migration_pb2.Event():
                self._shown.take(update)
                now = picture(self._migration, self._shown)
                self._live.update(now, refresh=bool(update.sequence))
                if update.kind != "progress" and not is_told_at_the_end(update):
                    self._print(event_line(update, self._shown))
            case migration_pb2.Migration():
                self.close()
                self._print("\n".join(report.summary(update)))
            case _:
                self._print(notice(update))

    def close(self) -> None:
        """Leave what is shown as it is."""
        self._live.stop()

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def picture(migration: migration_pb2.Migration, shown: Shown) -> Table:
    """The lines that stay at the bottom of a terminal."""
    route = f"{migration.guest}: {migration.source} to {migration.destination}"
    lines = Table.grid()
    lines.add_row(Text(f"{route}, {words.phase(shown.phase)}, " + ", ".join(shown.extent())))
    lines.add_row(ProgressBar(completed=shown.percent, width=60, complete_style="cyan"))
    lines.add_row(Text(", ".join(figures.pace(shown.progress))))
    lines.add_row(Text(", ".join(shown.prospect())))
    return lines


def teller(migration: migration_pb2.Migration, as_json: bool) -> Teller:
    """The one that fits where the output goes."""
    if as_json:
        return JsonTeller()
    if Console().is_terminal:
        return LiveTeller(migration)
    return LineTeller(migration.options.downtime_limit_ms)
