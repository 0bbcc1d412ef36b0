"""How a migration grows: with memory, with what the guest writes, with how many there are, and as
the link gets slower.

`python -m bench.scaling [--runs N] [--quick]` runs bench.sizes, bench.rates, bench.crowd and
bench.links, one after the other; each can be run by itself.
"""

import sys

from bench import crowd, links, rates, sizes
from bench.running import say


def main() -> None:
    """All of them, with the same words."""
    for one in (sizes, rates, crowd, links):
        say(f"\n== {one.NAME}")
        one.main(sys.argv[1:])


if __name__ == "__main__":
    main()
