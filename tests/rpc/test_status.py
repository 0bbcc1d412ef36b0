"""Every error has a gRPC code and comes over the wire with what a program and a person need; what a
peer says in an error is bounded and printable.
"""

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from bmigd import errors
from bmigd.drivers.qemu.monitor import MonitorLost, MonitorRefused
from bmigd.errors import (
    BmigError,
    Busy,
    Denied,
    LocalFault,
    NotPossible,
    PeerLost,
    PeerSaidNo,
    StartFailed,
    Violation,
)
from bmigd.rpc.status import CODES, from_rpc_error, to_status

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BmigError)
]
LEAVES = [kind for kind in KINDS if not kind.__subclasses__()]
TEXT = st.text(st.characters(exclude_categories=["Cs"]).filter(str.isprintable), max_size=50)


def raised(status: status_pb2.Status, code: StatusCode) -> AioRpcError:
    """What a call raises when it is answered with this status."""
    trailing = Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return AioRpcError(code, Metadata(), trailing, status.message, None)


def over_the_wire(error: BmigError) -> BmigError:
    """What the other node makes of it."""
    status = to_status(error)
    code = next(one for one in StatusCode if one.value[0] == status.code)
    return from_rpc_error(raised(status, code), "host2")


@pytest.mark.parametrize("kind", LEAVES)
def test_every_kind_of_error_has_a_code(kind: type[BmigError]) -> None:
    assert kind in CODES
    assert to_status(kind("REASON", "message")).code == CODES[kind].value[0]


def test_a_drivers_own_kind_of_error_has_that_of_what_it_is() -> None:
    for error in (MonitorLost("no answer"), MonitorRefused("stop", "not now")):
        assert type(error) not in CODES
        assert to_status(error).code == CODES[LocalFault].value[0]
        assert over_the_wire(error).reason == error.reason


def test_the_table_names_no_abstract_kind_but_local_faults() -> None:
    assert set(CODES) - set(LEAVES) == {LocalFault}


@pytest.mark.parametrize("kind", LEAVES)
def test_the_tree_says_who_must_act(kind: type[BmigError]) -> None:
    assert issubclass(kind, errors.Refused | errors.LocalFault | errors.PeerFault)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("MEMORY_DIFFERS", StatusCode.DATA_LOSS),
        ("STATE_INVALID", StatusCode.DATA_LOSS),
        ("STOP_TIMEOUT", StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_some_reasons_have_a_code_of_their_own(reason: str, code: StatusCode) -> None:
    assert to_status(errors.BadBytes(reason, "message")).code == code.value[0]


@given(
    st.sampled_from(LEAVES),
    *[TEXT.filter(bool)] * 2,
    *[TEXT] * 2,
    st.lists(st.builds(Violation, TEXT, TEXT), max_size=3),
)
def test_an_error_comes_over_with_reason_words_and_facts(
    kind: type[BmigError],
    reason: str,
    message: str,
    advice: str,
    guest: str,
    violations: list[Violation],
) -> None:
    heard = over_the_wire(kind(reason, message, advice, guest=guest, violations=tuple(violations)))
    assert isinstance(heard, Denied if kind is Denied else PeerSaidNo)
    assert (heard.reason, heard.message, heard.advice) == (reason, message, advice)
    assert (heard.guest, heard.side) == (guest, "destination")
    assert heard.violations == tuple(violations)


@pytest.mark.parametrize(
    "code", [StatusCode.UNIMPLEMENTED, StatusCode.INTERNAL, StatusCode.PERMISSION_DENIED]
)
def test_an_answer_that_is_not_ours_is_told_with_its_code(code: StatusCode) -> None:
    bare = AioRpcError(code, Metadata(), Metadata(), "socket closed", None)
    heard = from_rpc_error(bare, "host2")
    assert type(heard) is PeerSaidNo
    assert "host2" in heard.message
    assert code.name in heard.message
    assert "socket closed" in heard.message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (StatusCode.UNAVAILABLE, "socket closed"),
        (StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (StatusCode.INTERNAL, "Internal error from Core"),  # a write to a call that had ended
    ],
)
def test_no_answer_is_a_lost_peer_whatever_the_transport_calls_it(
    code: StatusCode, words: str
) -> None:
    heard = from_rpc_error(AioRpcError(code, Metadata(), Metadata(), words, None), "host2")
    assert (type(heard), heard.reason) == (PeerLost, "PEER_LOST")
    assert heard.message == "host2 does not answer"
    assert "host2" in heard.advice


def test_error_details_of_another_domain_are_not_ours() -> None:
    status = status_pb2.Status(code=StatusCode.INTERNAL.value[0], message="words")
    detail = status.details.add()
    detail.Pack(error_details_pb2.ErrorInfo(reason="REASON", domain="elsewhere"))
    assert from_rpc_error(raised(status, StatusCode.INTERNAL), "host2").reason == "PEER_FAILED"


def test_what_a_peer_says_is_bounded_and_printable() -> None:
    heard = over_the_wire(
        NotPossible("R" * 5000, "\x1b[31mred\nline\x00" * 1000, violations=(Violation("\x07", ""),))
    )
    assert len(heard.reason) <= 1000
    assert len(heard.message) <= 1000
    assert (heard.reason + heard.message + heard.violations[0].reason).isprintable()


def test_whether_a_guest_never_ran_is_never_believed_from_the_wire() -> None:
    heard = over_the_wire(StartFailed("START_FAILED", "died", never_ran=True))
    assert not isinstance(heard, StartFailed)


def test_failed_prechecks_travel_as_preconditions() -> None:
    error = Busy("GUEST_BUSY", "m", guest="web1", violations=(Violation("NO_MEMORY", "none"),))
    failure = error_details_pb2.PreconditionFailure()
    assert to_status(error).details[1].Unpack(failure)
    assert failure.violations[0].subject == "web1"
