"""Errors on the wire: the only table of gRPC codes, and google.rpc details both ways."""

import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode, aio
from grpc_status import rpc_status

from bmigd.errors import (
    BadBytes,
    BmigError,
    Busy,
    Denied,
    Invalid,
    LocalFault,
    NotPossible,
    PeerLost,
    PeerSaidNo,
    StartFailed,
    Taken,
    Unknown,
    Violation,
)
from bmigd.words import short

log = structlog.get_logger()

DOMAIN = "bmig"
# The most precise class wins; every leaf of errors.py has a row, and drivers have leaves of those.
CODES: dict[type[BmigError], StatusCode] = {
    Invalid: StatusCode.INVALID_ARGUMENT,
    Denied: StatusCode.PERMISSION_DENIED,
    Unknown: StatusCode.NOT_FOUND,
    Taken: StatusCode.ALREADY_EXISTS,
    Busy: StatusCode.ABORTED,
    NotPossible: StatusCode.FAILED_PRECONDITION,
    LocalFault: StatusCode.INTERNAL,
    StartFailed: StatusCode.INTERNAL,
    PeerLost: StatusCode.UNAVAILABLE,
    PeerSaidNo: StatusCode.FAILED_PRECONDITION,
    BadBytes: StatusCode.INVALID_ARGUMENT,
}
_REASON_CODES = {
    "MEMORY_DIFFERS": StatusCode.DATA_LOSS,
    "STATE_INVALID": StatusCode.DATA_LOSS,
    "SPOOL_UNUSABLE": StatusCode.FAILED_PRECONDITION,
    "STOP_TIMEOUT": StatusCode.DEADLINE_EXCEEDED,
    "TOO_MANY_CALLS": StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_RECEPTIONS": StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_QUESTIONS": StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_STARTS": StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_CHANGES": StatusCode.RESOURCE_EXHAUSTED,
}
_NO_CONNECTION = frozenset({StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED})
# grpcio's own word for a write to a call that has just ended, in place of what the peer said.
_WRITE_FAILED = (StatusCode.INTERNAL, "Internal error from Core")


def _code_of(kind: type[BmigError]) -> StatusCode:
    return next(CODES[one] for one in kind.__mro__ if one in CODES)


def to_status(error: BmigError) -> status_pb2.Status:
    """An error as google.rpc.Status with ErrorInfo and, for prechecks, PreconditionFailure."""
    code = _REASON_CODES.get(error.reason) or _code_of(type(error))
    status = status_pb2.Status(
        code=code_pb2.Code.Value(code.name), message=f"{error.reason}: {error.message}"
    )
    facts = {
        "guest": error.guest,
        "side": error.side,
        "location": error.location,
        "advice": error.advice,
        "message": error.message,
    }
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={key: value for key, value in facts.items() if value},
    )
    details: list[any_pb2.Any] = [_pack(info)]
    if error.violations:
        failure = error_details_pb2.PreconditionFailure(
            violations=[
                error_details_pb2.PreconditionFailure.Violation(
                    type=one.reason, subject=error.guest, description=one.message
                )
                for one in error.violations
            ]
        )
        details.append(_pack(failure))
    status.details.extend(details)
    return status


def from_rpc_error(error: aio.AioRpcError, peer: str) -> BmigError:
    """What a call to another node raised, as one of our errors."""
    code = error.code()
    words = error.details() or code.name
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = _info(status) if status else None
    if info is None:
        if code in _NO_CONNECTION or (code, words) == _WRITE_FAILED:
            log.info("no answer", peer=peer, code=code.name, words=short(words, 300))
            return PeerLost(
                "PEER_LOST",
                f"{peer} does not answer",
                f"start bmigd on {peer}, or mend the way to it",
            )
        return PeerSaidNo("PEER_FAILED", f"{peer} answered {code.name}: {short(words, 300)}")
    kind = Denied if code is StatusCode.PERMISSION_DENIED else PeerSaidNo
    facts = info.metadata
    return kind(
        short(info.reason, 64),
        short(facts.get("message", words)),
        short(facts.get("advice", "")),
        guest=short(facts.get("guest", ""), 64),
        side="destination",
        violations=tuple(_violations(status)) if status else (),
    )


def _info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _violations(status: status_pb2.Status) -> list[Violation]:
    failure = error_details_pb2.PreconditionFailure()
    for detail in status.details:
        if detail.Is(failure.DESCRIPTOR) and detail.Unpack(failure):
            return [
                Violation(short(v.type, 64), short(v.description)) for v in failure.violations[:32]
            ]
    return []


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.PreconditionFailure,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
