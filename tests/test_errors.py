"""Errors carry facts: a stable reason, words, who and where; what the raiser knew is never lost."""

from bmigd.errors import BmigError, LocalFault, PeerFault, PeerLost, Refused, StartFailed


def test_an_error_reads_as_its_reason_and_message() -> None:
    assert str(PeerLost("PEER_LOST", "host2: no answer")) == "PEER_LOST: host2: no answer"


def test_what_is_known_already_stays() -> None:
    error = PeerLost("PEER_LOST", "gone", guest="web1")
    assert error.about(guest="web9", side="source", location="on host1") is error
    assert (error.guest, error.side, error.location) == ("web1", "source", "on host1")


def test_nothing_proves_that_a_guest_never_ran_unless_it_is_said() -> None:
    assert not StartFailed("START_FAILED", "died").never_ran


def test_errors_are_told_apart_by_who_must_act() -> None:
    for one in (Refused, LocalFault, PeerFault):
        assert issubclass(one, BmigError)
        assert not any(
            issubclass(one, other) for other in (Refused, LocalFault, PeerFault) if other is not one
        )


def test_equal_words_do_not_make_equal_errors() -> None:
    assert PeerLost("A", "b") != PeerLost("A", "b")
    assert len({PeerLost("A", "b"), PeerLost("A", "b")}) == 2
