"""gRPC's errors to ours: the only place that knows status codes and their details.

Rule: what carries no reason of a node's own and may come from below the contract is answered
with None, and the caller finds the real cause.
"""

from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from bmigctl.errors import BmigctlError, CallFailed, Refused

DOMAIN = "bmig"
_DETAILS_KEY = "grpc-status-details-bin"

# With these codes the contract promises that nothing was done.
_REFUSALS = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.OUT_OF_RANGE,
        StatusCode.PERMISSION_DENIED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
    }
)

# A server that stops cancels what it was doing.
_FROM_BELOW = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)

_ADVICE = {
    "GUEST_UNKNOWN": "bmigctl guest list shows every guest",
    "NODE_UNKNOWN": "bmigctl node list shows every node",
    "GUEST_BUSY": "bmigctl list --guest NAME shows its migration; wait for it or cancel it",
    "GUEST_RUNNING": "stop the guest first",
    "GUEST_NOT_RUNNING": "start the guest first",
    "MIGRATION_UNKNOWN": "bmigctl list shows every migration",
    "OPTIONS_INVALID": "correct the option and migrate it again",
    "REQUEST_INVALID": "correct what was asked for and ask again",
    "STOP_TIMEOUT": "stop it again with a longer --timeout, or end it at once with --force",
    "NOT_IN_DOUBT": "bmigctl show ID tells where the migration stands",
    "PEER_ANSWERS": "nothing: the two hosts settle it by themselves",
    "TOO_LATE": "bmigctl watch ID shows how it goes on",
    "DENIED": "ask for the right in the node's policy",
    "DENIED_BY_PEER": "ask for the right in the other node's policy",
    "UNAUTHENTICATED": "use an operator's certificate of this cluster",
}


def translate(error: AioRpcError, node: str) -> BmigctlError | None:
    """The error as the operator should hear it, or None when no node spoke."""
    status = _details(error)
    info = error_details_pb2.ErrorInfo()
    violations: list[str] = []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.PreconditionFailure.DESCRIPTOR):
            violations += _violations(detail.value)
    code = error.code()
    spoken = info.domain == DOMAIN and bool(info.reason)
    if not spoken and code in _FROM_BELOW:
        return None
    return _build(code, info, error.details() or code.name.lower(), violations, node)


def _build(
    code: StatusCode,
    info: error_details_pb2.ErrorInfo,
    message: str,
    violations: Iterable[str],
    node: str,
) -> BmigctlError:
    # A node that speaks of an unreachable peer refuses as well: it has not begun.
    refused = code in _REFUSALS or code is StatusCode.UNAVAILABLE
    facts = info.metadata
    reason = info.reason or code.name
    return (Refused if refused else CallFailed)(
        reason,
        message.removeprefix(f"{reason}: "),  # in the message for those who read no details
        guest=facts.get("guest", ""),
        side=facts.get("side", ""),
        location=facts.get("location", ""),
        advice=facts.get("advice", "") or _ADVICE.get(reason, f"see the log of bmigd on {node}"),
        violations=tuple(violations),
    )


def _violations(value: bytes) -> list[str]:
    failure = error_details_pb2.PreconditionFailure.FromString(value)
    return [
        f"{violation.type}: {violation.description}" if violation.type else violation.description
        for violation in failure.violations
    ]


def _details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
