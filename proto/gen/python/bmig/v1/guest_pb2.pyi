from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GuestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUEST_STATE_UNSPECIFIED: _ClassVar[GuestState]
    GUEST_STATE_STOPPED: _ClassVar[GuestState]
    GUEST_STATE_RUNNING: _ClassVar[GuestState]
    GUEST_STATE_MIGRATING_OUT: _ClassVar[GuestState]
    GUEST_STATE_MIGRATING_IN: _ClassVar[GuestState]
    GUEST_STATE_SUSPENDED: _ClassVar[GuestState]
    GUEST_STATE_IN_DOUBT: _ClassVar[GuestState]
    GUEST_STATE_FAILED: _ClassVar[GuestState]
    GUEST_STATE_STARTING: _ClassVar[GuestState]
GUEST_STATE_UNSPECIFIED: GuestState
GUEST_STATE_STOPPED: GuestState
GUEST_STATE_RUNNING: GuestState
GUEST_STATE_MIGRATING_OUT: GuestState
GUEST_STATE_MIGRATING_IN: GuestState
GUEST_STATE_SUSPENDED: GuestState
GUEST_STATE_IN_DOUBT: GuestState
GUEST_STATE_FAILED: GuestState
GUEST_STATE_STARTING: GuestState

class GuestDefinition(_message.Message):
    __slots__ = ("name", "uuid", "driver", "memory_bytes", "wired_memory", "cpu", "firmware", "devices", "options", "machine")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIRED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    name: str
    uuid: str
    driver: str
    memory_bytes: int
    wired_memory: bool
    cpu: CpuTopology
    firmware: Firmware
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    options: _containers.RepeatedScalarFieldContainer[str]
    machine: str
    def __init__(self, name: _Optional[str] = ..., uuid: _Optional[str] = ..., driver: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., wired_memory: _Optional[bool] = ..., cpu: _Optional[_Union[CpuTopology, _Mapping]] = ..., firmware: _Optional[_Union[Firmware, _Mapping]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., options: _Optional[_Iterable[str]] = ..., machine: _Optional[str] = ...) -> None: ...

class CpuTopology(_message.Message):
    __slots__ = ("sockets", "cores", "threads")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    sockets: int
    cores: int
    threads: int
    def __init__(self, sockets: _Optional[int] = ..., cores: _Optional[int] = ..., threads: _Optional[int] = ...) -> None: ...

class Firmware(_message.Message):
    __slots__ = ("bootrom_path", "variables_path", "kernel_path", "initrd_path", "kernel_arguments")
    BOOTROM_PATH_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_PATH_FIELD_NUMBER: _ClassVar[int]
    KERNEL_PATH_FIELD_NUMBER: _ClassVar[int]
    INITRD_PATH_FIELD_NUMBER: _ClassVar[int]
    KERNEL_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    bootrom_path: str
    variables_path: str
    kernel_path: str
    initrd_path: str
    kernel_arguments: str
    def __init__(self, bootrom_path: _Optional[str] = ..., variables_path: _Optional[str] = ..., kernel_path: _Optional[str] = ..., initrd_path: _Optional[str] = ..., kernel_arguments: _Optional[str] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("slot", "emulation", "disk", "network_card", "options")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    EMULATION_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    NETWORK_CARD_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    emulation: str
    disk: Disk
    network_card: NetworkCard
    options: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, slot: _Optional[str] = ..., emulation: _Optional[str] = ..., disk: _Optional[_Union[Disk, _Mapping]] = ..., network_card: _Optional[_Union[NetworkCard, _Mapping]] = ..., options: _Optional[_Iterable[str]] = ...) -> None: ...

class Disk(_message.Message):
    __slots__ = ("storage", "image")
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    storage: str
    image: str
    def __init__(self, storage: _Optional[str] = ..., image: _Optional[str] = ...) -> None: ...

class NetworkCard(_message.Message):
    __slots__ = ("network", "mac")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    network: str
    mac: str
    def __init__(self, network: _Optional[str] = ..., mac: _Optional[str] = ...) -> None: ...

class Guest(_message.Message):
    __slots__ = ("definition", "state", "epoch", "migration_id", "pid", "detail")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MIGRATION_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    definition: GuestDefinition
    state: GuestState
    epoch: int
    migration_id: str
    pid: int
    detail: str
    def __init__(self, definition: _Optional[_Union[GuestDefinition, _Mapping]] = ..., state: _Optional[_Union[GuestState, str]] = ..., epoch: _Optional[int] = ..., migration_id: _Optional[str] = ..., pid: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class DefineGuestRequest(_message.Message):
    __slots__ = ("definition", "not_on")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    NOT_ON_FIELD_NUMBER: _ClassVar[int]
    definition: GuestDefinition
    not_on: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, definition: _Optional[_Union[GuestDefinition, _Mapping]] = ..., not_on: _Optional[_Iterable[str]] = ...) -> None: ...

class DefineGuestResponse(_message.Message):
    __slots__ = ("guest",)
    GUEST_FIELD_NUMBER: _ClassVar[int]
    guest: Guest
    def __init__(self, guest: _Optional[_Union[Guest, _Mapping]] = ...) -> None: ...

class RecoverGuestRequest(_message.Message):
    __slots__ = ("name", "not_on")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOT_ON_FIELD_NUMBER: _ClassVar[int]
    name: str
    not_on: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., not_on: _Optional[_Iterable[str]] = ...) -> None: ...

class RecoverGuestResponse(_message.Message):
    __slots__ = ("guest",)
    GUEST_FIELD_NUMBER: _ClassVar[int]
    guest: Guest
    def __init__(self, guest: _Optional[_Union[Guest, _Mapping]] = ...) -> None: ...

class UndefineGuestRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UndefineGuestResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartGuestRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StartGuestResponse(_message.Message):
    __slots__ = ("guest",)
    GUEST_FIELD_NUMBER: _ClassVar[int]
    guest: Guest
    def __init__(self, guest: _Optional[_Union[Guest, _Mapping]] = ...) -> None: ...

class StopGuestRequest(_message.Message):
    __slots__ = ("name", "force", "timeout_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    force: bool
    timeout_s: int
    def __init__(self, name: _Optional[str] = ..., force: _Optional[bool] = ..., timeout_s: _Optional[int] = ...) -> None: ...

class StopGuestResponse(_message.Message):
    __slots__ = ("guest",)
    GUEST_FIELD_NUMBER: _ClassVar[int]
    guest: Guest
    def __init__(self, guest: _Optional[_Union[Guest, _Mapping]] = ...) -> None: ...

class AttachConsoleRequest(_message.Message):
    __slots__ = ("name", "input")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    input: bytes
    def __init__(self, name: _Optional[str] = ..., input: _Optional[bytes] = ...) -> None: ...

class AttachConsoleResponse(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: bytes
    def __init__(self, output: _Optional[bytes] = ...) -> None: ...
