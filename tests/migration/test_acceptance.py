"""Epochs of guests that come grow, and never so fast that they run out."""

import pytest

from bmigd.migration.acceptance import MOST_EPOCHS_MISSED, wrong_epoch


@pytest.mark.parametrize(
    ("epoch", "known", "reason"),
    [
        (0, 0, "STALE_EPOCH"),
        (7, 7, "STALE_EPOCH"),
        (8, 7, ""),
        (MOST_EPOCHS_MISSED, 0, ""),
        (7 + MOST_EPOCHS_MISSED, 7, ""),
        (8 + MOST_EPOCHS_MISSED, 7, "REQUEST_INVALID"),
        ((1 << 63) - 1, 0, "REQUEST_INVALID"),
    ],
)
def test_an_epoch_is_newer_and_not_far_ahead(epoch: int, known: int, reason: str) -> None:
    assert [one for one, _ in wrong_epoch(epoch, known)] == ([reason] if reason else [])
