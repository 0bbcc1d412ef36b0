"""A way between two nodes where every call is made twice, and whether both got the same answer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from bmig.v1 import peer_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.e2e.relay import Sound

PEER = "/bmig.v1.PeerService/"
ON_ITS_WAY = [
    *(peer_pb2.OUTCOME_RECEIVING, peer_pb2.OUTCOME_READY),
    *(peer_pb2.OUTCOME_TAKEN, peer_pb2.OUTCOME_RUNNING),
]
OUTCOMES: dict[str, Any] = {
    "Commit": peer_pb2.CommitResponse,
    "QueryOutcome": peer_pb2.QueryOutcomeResponse,
}
VOLATILE = {"clock_ms", "memory_available_bytes", "spool_available_bytes"}


@dataclass
class Twice(Sound):
    """Makes every call but streams of memory twice, and keeps what was said."""

    channel: grpc.Channel
    kept: dict[str, tuple[list[bytes], list[bytes]]] = field(default_factory=dict)  # the latest
    differing: list[str] = field(default_factory=list)

    def requests(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        if method == "StreamMemory":
            return self._noting(messages)
        made = list(messages)
        first = answers(self.channel, method, made)
        second = answers(self.channel, method, made)
        self.kept[method] = (made, first)
        if not _is_same(method, first, second):
            self.differing.append(f"{method}: {first!r}, then {second!r}")
        return iter(made)

    def _noting(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        for message in messages:
            self.kept.setdefault("StreamMemory", ([message], []))
            yield message


def _is_same(method: str, first: list[bytes], second: list[bytes]) -> bool:
    """Whether an answer was repeated; between two questions the migration itself may go on."""
    if method != "QueryOutcome":
        return steady(method, first) == steady(method, second)
    said = [peer_pb2.QueryOutcomeResponse.FromString(answer[0]) for answer in (first, second)]
    outcomes = [ON_ITS_WAY.index(one.outcome) for one in said]
    return outcomes == sorted(outcomes) and not any(one.HasField("failure") for one in said)


def steady(method: str, answer: list[bytes]) -> object:
    """What does not change by itself of an answer."""
    if method == "ExchangeCapabilities":
        facts = peer_pb2.ExchangeCapabilitiesResponse.FromString(answer[0]).facts
        for name in VOLATILE:
            facts.ClearField(name)
        return facts.SerializeToString()
    if method in OUTCOMES:
        said = OUTCOMES[method].FromString(answer[0])
        said.ClearField("running_for_us")
        return said.SerializeToString()
    return answer


def answers(channel: grpc.Channel, method: str, messages: list[bytes]) -> list[bytes]:
    """What a node says; an error as its reason."""
    path = method if method.startswith("/") else PEER + method
    call: Any = channel.stream_stream(path, None, None)
    try:
        return list(call(iter(messages), timeout=60))
    except grpc.RpcError as error:
        return [reason_of(error).encode()]


def reason_of(error: Any) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status
    assert status.details[0].Unpack(info), status
    return str(info.reason)
