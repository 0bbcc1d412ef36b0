"""Exit codes of bmigctl.

Scripts depend on these numbers: a code never changes its meaning.
"""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
NOT_MOVED: Final = 4
IN_DOUBT: Final = 5
UNREACHABLE: Final = 6
INTERRUPTED: Final = 130

MEANINGS: Final = (
    (DONE, "done"),
    (FAILED, "check says no, or another failure"),
    (USAGE, "wrong usage, configuration or guest description, as bmigctl sees it"),
    (REFUSED, "refused; nothing was started or changed"),
    (NOT_MOVED, "the migration failed; the guest is where it was"),
    (IN_DOUBT, "in doubt: let go, and the answer is missing; or a journal must be mended first"),
    (UNREACHABLE, "bmigctl could ask no node, or not the one that was needed"),
    (INTERRUPTED, "interrupted; a migration that was watched goes on"),
)
