"""Errors on the wire: the only table of gRPC codes, and google.rpc details both ways."""

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

DOMAIN = "bmig"
# The most precise class wins; every leaf of errors.py has a row.
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
    "STOP_TIMEOUT": StatusCode.DEADLINE_EXCEEDED,
}
_NO_CONNECTION = frozenset({StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED})


def to_status(error: BmigError) -> status_pb2.Status:
    """An error as google.rpc.Status with ErrorInfo and, for prechecks, PreconditionFailure."""
    code = _REASON_CODES.get(error.reason) or CODES[type(error)]
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
        if code in _NO_CONNECTION:
            return PeerLost("PEER_LOST", f"{peer} does not answer ({code.name}: {words[:300]})")
        return PeerSaidNo("PEER_FAILED", f"{peer} answered {code.name}: {words[:300]}")
    kind = Denied if code is StatusCode.PERMISSION_DENIED else PeerSaidNo
    facts = info.metadata
    return kind(
        _short(info.reason),
        _short(facts.get("message", words)),
        _short(facts.get("advice", "")),
        guest=_short(facts.get("guest", "")),
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
            return [Violation(_short(v.type), _short(v.description)) for v in failure.violations]
    return []


def _short(text: str) -> str:
    """A peer's words, bounded and printable."""
    return "".join(c if c.isprintable() else " " for c in text[:1000])


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.PreconditionFailure,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
