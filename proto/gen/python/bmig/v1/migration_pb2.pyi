from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TimeoutAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIMEOUT_ACTION_UNSPECIFIED: _ClassVar[TimeoutAction]
    TIMEOUT_ACTION_ABORT: _ClassVar[TimeoutAction]
    TIMEOUT_ACTION_SWITCH_OVER: _ClassVar[TimeoutAction]
    TIMEOUT_ACTION_THROTTLE: _ClassVar[TimeoutAction]

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_ZERO: _ClassVar[Codec]
    CODEC_RAW: _ClassVar[Codec]
    CODEC_ZSTD: _ClassVar[Codec]
    CODEC_DELTA: _ClassVar[Codec]

class Tracker(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRACKER_UNSPECIFIED: _ClassVar[Tracker]
    TRACKER_AUTO: _ClassVar[Tracker]
    TRACKER_CONTENT: _ClassVar[Tracker]
    TRACKER_PAGEMAP: _ClassVar[Tracker]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_CHECKING: _ClassVar[Phase]
    PHASE_PREPARING: _ClassVar[Phase]
    PHASE_PRECOPY: _ClassVar[Phase]
    PHASE_SWITCHOVER: _ClassVar[Phase]
    PHASE_HANDOFF: _ClassVar[Phase]
    PHASE_COMPLETED: _ClassVar[Phase]
    PHASE_ABORTED: _ClassVar[Phase]
    PHASE_ABORTING: _ClassVar[Phase]

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIDE_UNSPECIFIED: _ClassVar[Side]
    SIDE_SOURCE: _ClassVar[Side]
    SIDE_DESTINATION: _ClassVar[Side]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_PASSED: _ClassVar[Verdict]
    VERDICT_WARNING: _ClassVar[Verdict]
    VERDICT_FAILED: _ClassVar[Verdict]
TIMEOUT_ACTION_UNSPECIFIED: TimeoutAction
TIMEOUT_ACTION_ABORT: TimeoutAction
TIMEOUT_ACTION_SWITCH_OVER: TimeoutAction
TIMEOUT_ACTION_THROTTLE: TimeoutAction
CODEC_UNSPECIFIED: Codec
CODEC_ZERO: Codec
CODEC_RAW: Codec
CODEC_ZSTD: Codec
CODEC_DELTA: Codec
TRACKER_UNSPECIFIED: Tracker
TRACKER_AUTO: Tracker
TRACKER_CONTENT: Tracker
TRACKER_PAGEMAP: Tracker
PHASE_UNSPECIFIED: Phase
PHASE_CHECKING: Phase
PHASE_PREPARING: Phase
PHASE_PRECOPY: Phase
PHASE_SWITCHOVER: Phase
PHASE_HANDOFF: Phase
PHASE_COMPLETED: Phase
PHASE_ABORTED: Phase
PHASE_ABORTING: Phase
SIDE_UNSPECIFIED: Side
SIDE_SOURCE: Side
SIDE_DESTINATION: Side
VERDICT_UNSPECIFIED: Verdict
VERDICT_PASSED: Verdict
VERDICT_WARNING: Verdict
VERDICT_FAILED: Verdict

class MigrationOptions(_message.Message):
    __slots__ = ("downtime_limit_ms", "timeout_s", "on_timeout", "bandwidth_limit_bytes_per_s", "codec", "verify", "tracker", "probe_address", "streams")
    DOWNTIME_LIMIT_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    ON_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_LIMIT_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    TRACKER_FIELD_NUMBER: _ClassVar[int]
    PROBE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    downtime_limit_ms: int
    timeout_s: int
    on_timeout: TimeoutAction
    bandwidth_limit_bytes_per_s: int
    codec: Codec
    verify: bool
    tracker: Tracker
    probe_address: str
    streams: int
    def __init__(self, downtime_limit_ms: _Optional[int] = ..., timeout_s: _Optional[int] = ..., on_timeout: _Optional[_Union[TimeoutAction, str]] = ..., bandwidth_limit_bytes_per_s: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., verify: _Optional[bool] = ..., tracker: _Optional[_Union[Tracker, str]] = ..., probe_address: _Optional[str] = ..., streams: _Optional[int] = ...) -> None: ...

class Migration(_message.Message):
    __slots__ = ("id", "guest", "source", "destination", "side", "phase", "ownership", "epoch", "options", "progress", "failure", "report", "started_at_ms", "ended_at_ms", "requested_by", "in_doubt_since_ms", "waiting_for")
    ID_FIELD_NUMBER: _ClassVar[int]
    GUEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OWNERSHIP_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    IN_DOUBT_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    guest: str
    source: str
    destination: str
    side: Side
    phase: Phase
    ownership: str
    epoch: int
    options: MigrationOptions
    progress: Progress
    failure: Failure
    report: Report
    started_at_ms: int
    ended_at_ms: int
    requested_by: str
    in_doubt_since_ms: int
    waiting_for: str
    def __init__(self, id: _Optional[str] = ..., guest: _Optional[str] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., phase: _Optional[_Union[Phase, str]] = ..., ownership: _Optional[str] = ..., epoch: _Optional[int] = ..., options: _Optional[_Union[MigrationOptions, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., started_at_ms: _Optional[int] = ..., ended_at_ms: _Optional[int] = ..., requested_by: _Optional[str] = ..., in_doubt_since_ms: _Optional[int] = ..., waiting_for: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "round", "memory_bytes", "round_scanned_bytes", "sent_bytes", "wire_bytes", "rate_bytes_per_s", "dirty_rate_bytes_per_s", "estimated_downtime_ms", "estimated_remaining_ms", "percent", "throttle_percent", "is_without_end", "waiting_for", "waited_ms")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROUND_SCANNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    DIRTY_RATE_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DOWNTIME_MS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    IS_WITHOUT_END_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    WAITED_MS_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    round: int
    memory_bytes: int
    round_scanned_bytes: int
    sent_bytes: int
    wire_bytes: int
    rate_bytes_per_s: int
    dirty_rate_bytes_per_s: int
    estimated_downtime_ms: int
    estimated_remaining_ms: int
    percent: int
    throttle_percent: int
    is_without_end: bool
    waiting_for: str
    waited_ms: int
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., round: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., round_scanned_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., rate_bytes_per_s: _Optional[int] = ..., dirty_rate_bytes_per_s: _Optional[int] = ..., estimated_downtime_ms: _Optional[int] = ..., estimated_remaining_ms: _Optional[int] = ..., percent: _Optional[int] = ..., throttle_percent: _Optional[int] = ..., is_without_end: _Optional[bool] = ..., waiting_for: _Optional[str] = ..., waited_ms: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "side", "location", "advice")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    side: Side
    location: str
    advice: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., location: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("rounds", "downtime_us", "downtime_parts", "total_us", "sent_bytes", "wire_bytes", "source_memory_root", "destination_memory_root", "tracker", "reconnects", "verified", "interruptions", "resent_bytes", "network_downtime_us", "throttle_percent", "throttled_us", "spent", "streams")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_US_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_PARTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MEMORY_ROOT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_MEMORY_ROOT_FIELD_NUMBER: _ClassVar[int]
    TRACKER_FIELD_NUMBER: _ClassVar[int]
    RECONNECTS_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIONS_FIELD_NUMBER: _ClassVar[int]
    RESENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_DOWNTIME_US_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_US_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    downtime_us: int
    downtime_parts: _containers.RepeatedCompositeFieldContainer[TimePart]
    total_us: int
    sent_bytes: int
    wire_bytes: int
    source_memory_root: str
    destination_memory_root: str
    tracker: str
    reconnects: int
    verified: bool
    interruptions: _containers.RepeatedCompositeFieldContainer[Interruption]
    resent_bytes: int
    network_downtime_us: int
    throttle_percent: int
    throttled_us: int
    spent: _containers.RepeatedCompositeFieldContainer[TimePart]
    streams: int
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ..., downtime_us: _Optional[int] = ..., downtime_parts: _Optional[_Iterable[_Union[TimePart, _Mapping]]] = ..., total_us: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., source_memory_root: _Optional[str] = ..., destination_memory_root: _Optional[str] = ..., tracker: _Optional[str] = ..., reconnects: _Optional[int] = ..., verified: _Optional[bool] = ..., interruptions: _Optional[_Iterable[_Union[Interruption, _Mapping]]] = ..., resent_bytes: _Optional[int] = ..., network_downtime_us: _Optional[int] = ..., throttle_percent: _Optional[int] = ..., throttled_us: _Optional[int] = ..., spent: _Optional[_Iterable[_Union[TimePart, _Mapping]]] = ..., streams: _Optional[int] = ...) -> None: ...

class Interruption(_message.Message):
    __slots__ = ("waited_for", "duration_us", "guest_down", "heard_again")
    WAITED_FOR_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    GUEST_DOWN_FIELD_NUMBER: _ClassVar[int]
    HEARD_AGAIN_FIELD_NUMBER: _ClassVar[int]
    waited_for: str
    duration_us: int
    guest_down: bool
    heard_again: bool
    def __init__(self, waited_for: _Optional[str] = ..., duration_us: _Optional[int] = ..., guest_down: _Optional[bool] = ..., heard_again: _Optional[bool] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("number", "dirty_bytes", "wire_bytes", "duration_us", "guest_down")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIRTY_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    GUEST_DOWN_FIELD_NUMBER: _ClassVar[int]
    number: int
    dirty_bytes: int
    wire_bytes: int
    duration_us: int
    guest_down: bool
    def __init__(self, number: _Optional[int] = ..., dirty_bytes: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., duration_us: _Optional[int] = ..., guest_down: _Optional[bool] = ...) -> None: ...

class TimePart(_message.Message):
    __slots__ = ("name", "side", "duration_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    side: Side
    duration_us: int
    def __init__(self, name: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., duration_us: _Optional[int] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("check", "verdict", "reason", "message", "advice")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    check: str
    verdict: Verdict
    reason: str
    message: str
    advice: str
    def __init__(self, check: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("sequence", "at_ms", "kind", "message", "phase", "progress")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    at_ms: int
    kind: str
    message: str
    phase: Phase
    progress: Progress
    def __init__(self, sequence: _Optional[int] = ..., at_ms: _Optional[int] = ..., kind: _Optional[str] = ..., message: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...

class CheckMigrationRequest(_message.Message):
    __slots__ = ("guest", "destination", "options")
    GUEST_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    guest: str
    destination: str
    options: MigrationOptions
    def __init__(self, guest: _Optional[str] = ..., destination: _Optional[str] = ..., options: _Optional[_Union[MigrationOptions, _Mapping]] = ...) -> None: ...

class CheckMigrationResponse(_message.Message):
    __slots__ = ("findings", "allowed")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    allowed: bool
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., allowed: _Optional[bool] = ...) -> None: ...

class StartMigrationRequest(_message.Message):
    __slots__ = ("id", "guest", "destination", "options")
    ID_FIELD_NUMBER: _ClassVar[int]
    GUEST_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    guest: str
    destination: str
    options: MigrationOptions
    def __init__(self, id: _Optional[str] = ..., guest: _Optional[str] = ..., destination: _Optional[str] = ..., options: _Optional[_Union[MigrationOptions, _Mapping]] = ...) -> None: ...

class StartMigrationResponse(_message.Message):
    __slots__ = ("migration",)
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    migration: Migration
    def __init__(self, migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...

class GetMigrationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetMigrationResponse(_message.Message):
    __slots__ = ("migration",)
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    migration: Migration
    def __init__(self, migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...

class ListMigrationsRequest(_message.Message):
    __slots__ = ("guest", "limit")
    GUEST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    guest: str
    limit: int
    def __init__(self, guest: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListMigrationsResponse(_message.Message):
    __slots__ = ("migrations", "left_out")
    MIGRATIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    migrations: _containers.RepeatedCompositeFieldContainer[Migration]
    left_out: bool
    def __init__(self, migrations: _Optional[_Iterable[_Union[Migration, _Mapping]]] = ..., left_out: _Optional[bool] = ...) -> None: ...

class WatchMigrationRequest(_message.Message):
    __slots__ = ("id", "after_sequence")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    after_sequence: int
    def __init__(self, id: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class WatchMigrationResponse(_message.Message):
    __slots__ = ("event", "migration")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    event: Event
    migration: Migration
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...

class CancelMigrationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelMigrationResponse(_message.Message):
    __slots__ = ("migration",)
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    migration: Migration
    def __init__(self, migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...

class LimitBandwidthRequest(_message.Message):
    __slots__ = ("id", "bandwidth_limit_bytes_per_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_LIMIT_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    bandwidth_limit_bytes_per_s: int
    def __init__(self, id: _Optional[str] = ..., bandwidth_limit_bytes_per_s: _Optional[int] = ...) -> None: ...

class LimitBandwidthResponse(_message.Message):
    __slots__ = ("migration",)
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    migration: Migration
    def __init__(self, migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...

class ResolveMigrationRequest(_message.Message):
    __slots__ = ("id", "confirm_guest")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_GUEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    confirm_guest: str
    def __init__(self, id: _Optional[str] = ..., confirm_guest: _Optional[str] = ...) -> None: ...

class ResolveMigrationResponse(_message.Message):
    __slots__ = ("migration",)
    MIGRATION_FIELD_NUMBER: _ClassVar[int]
    migration: Migration
    def __init__(self, migration: _Optional[_Union[Migration, _Mapping]] = ...) -> None: ...
