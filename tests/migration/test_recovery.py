"""After a restart a migration that never owned its guest touches none that it cannot be."""

from itertools import product

import pytest

from bmigd.journal import Record
from bmigd.migration.handoff import DestinationState, SourceState
from bmigd.migration.picture import DESTINATION, SOURCE
from bmigd.migration.recovery import is_outlived

BEGUN = [
    (SOURCE, SourceState.MIGRATING),
    (DESTINATION, DestinationState.RECEIVING),
    (DESTINATION, DestinationState.READY),
]
OWNED = [
    (SOURCE, SourceState.LET_GO),
    (DESTINATION, DestinationState.TAKEN),
    (DESTINATION, DestinationState.STARTED),
]


def record(side: str, state: str) -> Record:
    return Record("m1", side, "vm1", "host2", 1, state)


@pytest.mark.parametrize(("side", "state"), BEGUN)
def test_its_guest_must_be_where_it_was_left(side: str, state: str) -> None:
    one, is_here = record(side, state), side == SOURCE
    assert not is_outlived(one, is_newest=True, is_defined=is_here)
    assert is_outlived(one, is_newest=True, is_defined=not is_here)
    assert is_outlived(one, is_newest=False, is_defined=is_here)


@pytest.mark.parametrize(("side", "state"), OWNED)
def test_what_was_let_go_or_taken_is_always_settled(side: str, state: str) -> None:
    for is_newest, is_defined in product((True, False), repeat=2):
        assert not is_outlived(record(side, state), is_newest=is_newest, is_defined=is_defined)
