"""A guest is part of at most one migration on a node at a time."""

import pytest

from bmigd.errors import Busy
from bmigd.migration.claims import Claims


def test_a_guest_is_claimed_by_one_migration_only() -> None:
    claims = Claims()
    claims.take("web1", "m1")
    with pytest.raises(Busy, match="guest web1 is part of migration m1") as busy:
        claims.take("web1", "m2")
    assert busy.value.reason == "GUEST_BUSY"
    assert busy.value.guest == "web1"
    assert claims.holder("web1") == "m1"


def test_the_same_migration_may_claim_again() -> None:
    claims = Claims()
    claims.take("web1", "m1")
    claims.take("web1", "m1")
    assert claims.holder("web1") == "m1"


def test_guests_do_not_stand_in_each_others_way() -> None:
    claims = Claims()
    claims.take("web1", "m1")
    claims.take("web2", "m2")
    assert (claims.holder("web1"), claims.holder("web2")) == ("m1", "m2")


def test_only_the_holder_lets_a_guest_go() -> None:
    claims = Claims()
    claims.take("web1", "m1")
    claims.release("web1", "m2")
    assert claims.holder("web1") == "m1"
    claims.release("web1", "m1")
    assert claims.holder("web1") == ""
    claims.require_free("web1")
    claims.take("web1", "m2")


def test_letting_go_of_what_nobody_has_is_nothing() -> None:
    Claims().release("web1", "m1")


def test_a_guest_that_is_back_is_told_as_such_until_it_is_let_go() -> None:
    claims = Claims()
    claims.note_back("web1", "m1")
    assert not claims.is_back("web1")  # nobody has it
    claims.take("web1", "m1")
    claims.note_back("web1", "m2")
    assert not claims.is_back("web1")
    claims.note_back("web1", "m1")
    with pytest.raises(Busy, match="guest web1 goes on here") as busy:
        claims.require_free("web1")
    assert (busy.value.reason, "free space" in busy.value.advice) == ("GUEST_BUSY", True)
    claims.release("web1", "m1")
    assert not claims.is_back("web1")
    claims.require_free("web1")
