from bmig.v1 import guest_pb2 as _guest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("name", "version", "protocol_versions", "drivers", "memory_available_bytes", "memory_total_bytes", "spool_available_bytes", "certificate_expires_at_s", "started_at_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_AT_S_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    protocol_versions: _containers.RepeatedScalarFieldContainer[int]
    drivers: _containers.RepeatedScalarFieldContainer[str]
    memory_available_bytes: int
    memory_total_bytes: int
    spool_available_bytes: int
    certificate_expires_at_s: int
    started_at_s: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., protocol_versions: _Optional[_Iterable[int]] = ..., drivers: _Optional[_Iterable[str]] = ..., memory_available_bytes: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., spool_available_bytes: _Optional[int] = ..., certificate_expires_at_s: _Optional[int] = ..., started_at_s: _Optional[int] = ...) -> None: ...

class KnownNode(_message.Message):
    __slots__ = ("name", "address")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("node", "known_nodes")
    NODE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_NODES_FIELD_NUMBER: _ClassVar[int]
    node: Node
    known_nodes: _containers.RepeatedCompositeFieldContainer[KnownNode]
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ..., known_nodes: _Optional[_Iterable[_Union[KnownNode, _Mapping]]] = ...) -> None: ...

class ListGuestsRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class ListGuestsResponse(_message.Message):
    __slots__ = ("guests", "has_more")
    GUESTS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    guests: _containers.RepeatedCompositeFieldContainer[_guest_pb2.Guest]
    has_more: bool
    def __init__(self, guests: _Optional[_Iterable[_Union[_guest_pb2.Guest, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class GetGuestRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetGuestResponse(_message.Message):
    __slots__ = ("guest",)
    GUEST_FIELD_NUMBER: _ClassVar[int]
    guest: _guest_pb2.Guest
    def __init__(self, guest: _Optional[_Union[_guest_pb2.Guest, _Mapping]] = ...) -> None: ...
