from bmig.v1 import guest_pb2 as _guest_pb2
from bmig.v1 import migration_pb2 as _migration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_RECEIVING: _ClassVar[Outcome]
    OUTCOME_READY: _ClassVar[Outcome]
    OUTCOME_TAKEN: _ClassVar[Outcome]
    OUTCOME_RUNNING: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_RETURNED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]

class FileState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_STATE_UNSPECIFIED: _ClassVar[FileState]
    FILE_STATE_SAME: _ClassVar[FileState]
    FILE_STATE_DIFFERS: _ClassVar[FileState]
    FILE_STATE_MISSING: _ClassVar[FileState]
    FILE_STATE_OUTSIDE: _ClassVar[FileState]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_RECEIVING: Outcome
OUTCOME_READY: Outcome
OUTCOME_TAKEN: Outcome
OUTCOME_RUNNING: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_RETURNED: Outcome
OUTCOME_UNKNOWN: Outcome
FILE_STATE_UNSPECIFIED: FileState
FILE_STATE_SAME: FileState
FILE_STATE_DIFFERS: FileState
FILE_STATE_MISSING: FileState
FILE_STATE_OUTSIDE: FileState

class NodeFacts(_message.Message):
    __slots__ = ("name", "protocol_versions", "version", "clock_ms", "certificate_expires_at_s", "memory_available_bytes", "spool_available_bytes", "spool_in_memory", "cpu", "driver", "networks", "disks", "firmware", "name_taken_by", "denied", "silent_networks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_AT_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_IN_MEMORY_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    NAME_TAKEN_BY_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    SILENT_NETWORKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol_versions: _containers.RepeatedScalarFieldContainer[int]
    version: str
    clock_ms: int
    certificate_expires_at_s: int
    memory_available_bytes: int
    spool_available_bytes: int
    spool_in_memory: bool
    cpu: CpuFacts
    driver: DriverFacts
    networks: _containers.RepeatedScalarFieldContainer[str]
    disks: _containers.RepeatedCompositeFieldContainer[DiskFacts]
    firmware: _containers.RepeatedCompositeFieldContainer[FileFacts]
    name_taken_by: str
    denied: str
    silent_networks: _containers.RepeatedCompositeFieldContainer[NetworkObstacle]
    def __init__(self, name: _Optional[str] = ..., protocol_versions: _Optional[_Iterable[int]] = ..., version: _Optional[str] = ..., clock_ms: _Optional[int] = ..., certificate_expires_at_s: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., spool_available_bytes: _Optional[int] = ..., spool_in_memory: _Optional[bool] = ..., cpu: _Optional[_Union[CpuFacts, _Mapping]] = ..., driver: _Optional[_Union[DriverFacts, _Mapping]] = ..., networks: _Optional[_Iterable[str]] = ..., disks: _Optional[_Iterable[_Union[DiskFacts, _Mapping]]] = ..., firmware: _Optional[_Iterable[_Union[FileFacts, _Mapping]]] = ..., name_taken_by: _Optional[str] = ..., denied: _Optional[str] = ..., silent_networks: _Optional[_Iterable[_Union[NetworkObstacle, _Mapping]]] = ...) -> None: ...

class NetworkObstacle(_message.Message):
    __slots__ = ("network", "problem")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    network: str
    problem: str
    def __init__(self, network: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class CpuFacts(_message.Message):
    __slots__ = ("vendor", "model", "features", "count")
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    vendor: str
    model: str
    features: _containers.RepeatedScalarFieldContainer[str]
    count: int
    def __init__(self, vendor: _Optional[str] = ..., model: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ...) -> None: ...

class DriverFacts(_message.Message):
    __slots__ = ("name", "build", "can_snapshot", "problem", "devices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    CAN_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    build: str
    can_snapshot: bool
    problem: str
    devices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., build: _Optional[str] = ..., can_snapshot: _Optional[bool] = ..., problem: _Optional[str] = ..., devices: _Optional[_Iterable[str]] = ...) -> None: ...

class DiskFacts(_message.Message):
    __slots__ = ("storage", "image", "size_bytes", "probe")
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    storage: str
    image: str
    size_bytes: int
    probe: str
    def __init__(self, storage: _Optional[str] = ..., image: _Optional[str] = ..., size_bytes: _Optional[int] = ..., probe: _Optional[str] = ...) -> None: ...

class FileFacts(_message.Message):
    __slots__ = ("path", "sha256", "state")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: str
    state: FileState
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[str] = ..., state: _Optional[_Union[FileState, str]] = ...) -> None: ...

class ExchangeCapabilitiesRequest(_message.Message):
    __slots__ = ("definition", "requested_by", "protocol_versions", "probe_name", "firmware")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PROBE_NAME_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    definition: _guest_pb2.GuestDefinition
    requested_by: str
    protocol_versions: _containers.RepeatedScalarFieldContainer[int]
    probe_name: str
    firmware: _containers.RepeatedCompositeFieldContainer[FileFacts]
    def __init__(self, definition: _Optional[_Union[_guest_pb2.GuestDefinition, _Mapping]] = ..., requested_by: _Optional[str] = ..., protocol_versions: _Optional[_Iterable[int]] = ..., probe_name: _Optional[str] = ..., firmware: _Optional[_Iterable[_Union[FileFacts, _Mapping]]] = ...) -> None: ...

class ExchangeCapabilitiesResponse(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: NodeFacts
    def __init__(self, facts: _Optional[_Union[NodeFacts, _Mapping]] = ...) -> None: ...

class MemoryRegion(_message.Message):
    __slots__ = ("name", "guest_address_bytes", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GUEST_ADDRESS_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    guest_address_bytes: int
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., guest_address_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ReceiveGuestRequest(_message.Message):
    __slots__ = ("migration_id", "epoch", "definition", "regions", "protocol_version", "journal_incarnation", "requested_by", "hash_seed", "driver_build", "asks_for_memory", "until_ready")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    HASH_SEED_FIELD_NUMBER: _ClassVar[int]
    DRIVER_BUILD_FIELD_NUMBER: _ClassVar[int]
    ASKS_FOR_MEMORY_FIELD_NUMBER: _ClassVar[int]
    UNTIL_READY_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    definition: _guest_pb2.GuestDefinition
    regions: _containers.RepeatedCompositeFieldContainer[MemoryRegion]
    protocol_version: int
    journal_incarnation: str
    requested_by: str
    hash_seed: int
    driver_build: str
    asks_for_memory: bool
    until_ready: bool
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., definition: _Optional[_Union[_guest_pb2.GuestDefinition, _Mapping]] = ..., regions: _Optional[_Iterable[_Union[MemoryRegion, _Mapping]]] = ..., protocol_version: _Optional[int] = ..., journal_incarnation: _Optional[str] = ..., requested_by: _Optional[str] = ..., hash_seed: _Optional[int] = ..., driver_build: _Optional[str] = ..., asks_for_memory: _Optional[bool] = ..., until_ready: _Optional[bool] = ...) -> None: ...

class ReceiveGuestResponse(_message.Message):
    __slots__ = ("journal_incarnation", "lease_ms", "window_chunks", "has_memory", "most_streams", "codecs")
    JOURNAL_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    HAS_MEMORY_FIELD_NUMBER: _ClassVar[int]
    MOST_STREAMS_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    journal_incarnation: str
    lease_ms: int
    window_chunks: int
    has_memory: bool
    most_streams: int
    codecs: _containers.RepeatedScalarFieldContainer[_migration_pb2.Codec]
    def __init__(self, journal_incarnation: _Optional[str] = ..., lease_ms: _Optional[int] = ..., window_chunks: _Optional[int] = ..., has_memory: _Optional[bool] = ..., most_streams: _Optional[int] = ..., codecs: _Optional[_Iterable[_Union[_migration_pb2.Codec, str]]] = ...) -> None: ...

class DescribeMemoryRequest(_message.Message):
    __slots__ = ("migration_id", "epoch")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class DescribeMemoryResponse(_message.Message):
    __slots__ = ("region", "first_page", "page_hashes")
    REGION_FIELD_NUMBER: _ClassVar[int]
    FIRST_PAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_HASHES_FIELD_NUMBER: _ClassVar[int]
    region: int
    first_page: int
    page_hashes: bytes
    def __init__(self, region: _Optional[int] = ..., first_page: _Optional[int] = ..., page_hashes: _Optional[bytes] = ...) -> None: ...

class StreamMemoryRequest(_message.Message):
    __slots__ = ("chunks",)
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[MemoryChunk]
    def __init__(self, chunks: _Optional[_Iterable[_Union[MemoryChunk, _Mapping]]] = ...) -> None: ...

class MemoryChunk(_message.Message):
    __slots__ = ("migration_id", "epoch", "sequence", "region", "sections", "runs", "digest", "stream", "payload")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    sequence: int
    region: int
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    runs: _containers.RepeatedScalarFieldContainer[int]
    digest: bytes
    stream: int
    payload: bytes
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., region: _Optional[int] = ..., sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ..., runs: _Optional[_Iterable[int]] = ..., digest: _Optional[bytes] = ..., stream: _Optional[int] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("codec", "payload_bytes", "pages")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    codec: _migration_pb2.Codec
    payload_bytes: int
    pages: bytes
    def __init__(self, codec: _Optional[_Union[_migration_pb2.Codec, str]] = ..., payload_bytes: _Optional[int] = ..., pages: _Optional[bytes] = ...) -> None: ...

class StreamMemoryResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class DeliverStateRequest(_message.Message):
    __slots__ = ("header", "part")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    header: StateHeader
    part: StatePart
    def __init__(self, header: _Optional[_Union[StateHeader, _Mapping]] = ..., part: _Optional[_Union[StatePart, _Mapping]] = ...) -> None: ...

class StateHeader(_message.Message):
    __slots__ = ("migration_id", "epoch", "memory_root", "files", "verify")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ROOT_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    memory_root: bytes
    files: _containers.RepeatedCompositeFieldContainer[StateFile]
    verify: bool
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., memory_root: _Optional[bytes] = ..., files: _Optional[_Iterable[_Union[StateFile, _Mapping]]] = ..., verify: _Optional[bool] = ...) -> None: ...

class StateFile(_message.Message):
    __slots__ = ("name", "size_bytes", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    sha256: bytes
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class StatePart(_message.Message):
    __slots__ = ("file", "data")
    FILE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file: int
    data: bytes
    def __init__(self, file: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class DeliverStateResponse(_message.Message):
    __slots__ = ("memory_root", "parts", "spent")
    MEMORY_ROOT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    memory_root: bytes
    parts: _containers.RepeatedCompositeFieldContainer[_migration_pb2.TimePart]
    spent: _containers.RepeatedCompositeFieldContainer[_migration_pb2.TimePart]
    def __init__(self, memory_root: _Optional[bytes] = ..., parts: _Optional[_Iterable[_Union[_migration_pb2.TimePart, _Mapping]]] = ..., spent: _Optional[_Iterable[_Union[_migration_pb2.TimePart, _Mapping]]] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("migration_id", "epoch", "journal_incarnation")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    journal_incarnation: str
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., journal_incarnation: _Optional[str] = ...) -> None: ...

class CommitResponse(_message.Message):
    __slots__ = ("outcome", "parts", "failure", "running_for_us")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FOR_US_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    parts: _containers.RepeatedCompositeFieldContainer[_migration_pb2.TimePart]
    failure: _migration_pb2.Failure
    running_for_us: int
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., parts: _Optional[_Iterable[_Union[_migration_pb2.TimePart, _Mapping]]] = ..., failure: _Optional[_Union[_migration_pb2.Failure, _Mapping]] = ..., running_for_us: _Optional[int] = ...) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("migration_id", "epoch", "journal_incarnation", "reason")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    journal_incarnation: str
    reason: str
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., journal_incarnation: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AbortResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ...) -> None: ...

class QueryOutcomeRequest(_message.Message):
    __slots__ = ("migration_id", "epoch", "journal_incarnation")
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    migration_id: str
    epoch: int
    journal_incarnation: str
    def __init__(self, migration_id: _Optional[str] = ..., epoch: _Optional[int] = ..., journal_incarnation: _Optional[str] = ...) -> None: ...

class QueryOutcomeResponse(_message.Message):
    __slots__ = ("outcome", "failure", "parts", "running_for_us")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FOR_US_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    failure: _migration_pb2.Failure
    parts: _containers.RepeatedCompositeFieldContainer[_migration_pb2.TimePart]
    running_for_us: int
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., failure: _Optional[_Union[_migration_pb2.Failure, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[_migration_pb2.TimePart, _Mapping]]] = ..., running_for_us: _Optional[int] = ...) -> None: ...
