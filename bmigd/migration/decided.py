"""Why a migration cannot be cancelled or changed any more, and where its guest is. Pure."""

from bmigd.errors import NotPossible
from bmigd.migration.handoff import SourceState
from bmigd.migration.phases import Phase
from bmigd.migration.picture import SOURCE, Picture


def moved(picture: Picture) -> NotPossible:
    """TOO_LATE: to be cancelled, having completed."""
    return NotPossible(
        "TOO_LATE",
        f"migration {picture.id} has completed: guest {picture.guest} went to"
        f" {picture.destination}",
        f"migrate it back if it is to be on {picture.source}:"
        f" bmigctl migrate {picture.guest} {picture.source}",
        guest=picture.guest,
        side=picture.side,
        location=f"on {picture.destination}",
    )


def let_go(picture: Picture) -> NotPossible:
    """TOO_LATE: to be cancelled, the guest being the other node's."""
    return NotPossible(
        "TOO_LATE",
        f"migration {picture.id} of guest {picture.guest} is {picture.ownership}:"
        " the guest was let go already",
        f"see `bmigctl show {picture.id}`, which says what it waits for; migrate the guest"
        " back when it runs there",
        guest=picture.guest,
        side=picture.side,
        location="being handed over",
    )


def back(picture: Picture) -> NotPossible:
    """TOO_LATE: for anything, the guest running at the source again."""
    return NotPossible(
        "TOO_LATE",
        f"migration {picture.id} is over: guest {picture.guest} goes on on {picture.source}, which"
        " is yet to be written",
        f"free space on the disk under node.state_dir of {picture.source}, or mend it",
        guest=picture.guest,
        side=SOURCE,
        location=f"on {picture.source}",
    )


def settled(picture: Picture) -> NotPossible:
    """NOT_IN_DOUBT: to be resolved."""
    phase = picture.phase.name.lower()
    return NotPossible(
        "NOT_IN_DOUBT",
        f"migration {picture.id} is {phase} ({picture.ownership}): there is nothing to resolve",
        f"see `bmigctl show {picture.id}`",
        guest=picture.guest,
        side=SOURCE,
        location=_place(picture) if picture.has_ended or not _was_let_go(picture) else "",
    )


def over(picture: Picture) -> NotPossible:
    """MIGRATION_OVER: for another limit of bandwidth."""
    return NotPossible(
        "MIGRATION_OVER",
        f"migration {picture.id} of guest {picture.guest} is {picture.phase.name.lower()}:"
        " it sends nothing any more",
        f"see `bmigctl show {picture.id}`",
        guest=picture.guest,
        side=SOURCE,
        location=_place(picture),
    )


def past_copying(picture: Picture) -> NotPossible:
    """TOO_LATE: for another limit of bandwidth."""
    places = {
        Phase.SWITCHOVER: f"on {picture.source}, down",
        Phase.HANDOFF: "being handed over",
    }
    known = picture.failure.location if picture.failure else ""  # where it cannot go on
    return NotPossible(
        "TOO_LATE",
        f"migration {picture.id} of guest {picture.guest} is in {picture.phase.name.lower()}:"
        " a limit holds only while memory is copied and the guest runs",
        f"nothing was changed; `bmigctl watch {picture.id}` tells how it ends",
        guest=picture.guest,
        side=SOURCE,
        location=known or places.get(picture.phase, f"on {picture.source}"),
    )


def _was_let_go(picture: Picture) -> bool:
    return picture.ownership != SourceState.MIGRATING.value


def _place(picture: Picture) -> str:
    """Of the guest, once it is over, or before it is let go."""
    has_moved = picture.phase is Phase.COMPLETED
    return f"on {picture.destination if has_moved else picture.source}"
