"""Guests, in messages of the contract and in our values."""

from bmig.v1 import guest_pb2

from bmigd.guests.definition import MAX_DEVICES, MAX_OPTIONS, Definition, make
from bmigd.migration.inventory import GuestView
from bmigd.rpc.convert.form import invalid

MAX_DEFINITION_BYTES = 64 << 10


def definition_from(message: guest_pb2.GuestDefinition) -> Definition:
    """A checked definition."""
    if message.ByteSize() > MAX_DEFINITION_BYTES:
        raise invalid("definition", f"is larger than {MAX_DEFINITION_BYTES} bytes")
    if len(message.devices) > MAX_DEVICES:  # before anything is made of them
        raise invalid("definition.devices", f"are more than {MAX_DEVICES}")
    counts = [len(message.options), *(len(one.options) for one in message.devices)]
    if max(counts) > MAX_OPTIONS:
        raise invalid("definition.options", f"are more than {MAX_OPTIONS}")
    devices = [
        {
            "slot": one.slot,
            "emulation": one.emulation,
            "storage": one.disk.storage if one.HasField("disk") else None,
            "image": one.disk.image if one.HasField("disk") else None,
            "network": one.network_card.network if one.HasField("network_card") else None,
            "mac": one.network_card.mac if one.HasField("network_card") else None,
            "options": tuple(one.options),
        }
        for one in message.devices
    ]
    return make(
        {
            "name": message.name,
            "uuid": message.uuid,
            "driver": message.driver,
            "memory_bytes": message.memory_bytes,
            "wired_memory": message.wired_memory,
            "cpu": {
                "sockets": message.cpu.sockets or 1,
                "cores": message.cpu.cores or 1,
                "threads": message.cpu.threads or 1,
            },
            "machine": message.machine or None,
            "firmware": {
                "bootrom": message.firmware.bootrom_path or None,
                "variables": message.firmware.variables_path or None,
                "kernel": message.firmware.kernel_path or None,
                "initrd": message.firmware.initrd_path or None,
                "kernel_arguments": message.firmware.kernel_arguments,
            },
            "devices": devices,
            "options": tuple(message.options),
        }
    )


def definition_to(definition: Definition) -> guest_pb2.GuestDefinition:
    """The inverse."""
    message = guest_pb2.GuestDefinition(
        name=definition.name,
        uuid=str(definition.uuid),
        driver=definition.driver,
        memory_bytes=definition.memory_bytes,
        wired_memory=definition.wired_memory,
        cpu=guest_pb2.CpuTopology(
            sockets=definition.cpu.sockets,
            cores=definition.cpu.cores,
            threads=definition.cpu.threads,
        ),
        machine=definition.machine or "",
        firmware=guest_pb2.Firmware(
            bootrom_path=definition.firmware.bootrom or "",
            variables_path=definition.firmware.variables or "",
            kernel_path=definition.firmware.kernel or "",
            initrd_path=definition.firmware.initrd or "",
            kernel_arguments=definition.firmware.kernel_arguments,
        ),
        options=definition.options,
    )
    for device in definition.devices:
        one = message.devices.add(
            slot=device.slot, emulation=device.emulation, options=device.options
        )
        if device.storage and device.image:
            one.disk.storage, one.disk.image = device.storage, device.image
        if device.network and device.mac:
            one.network_card.network, one.network_card.mac = device.network, device.mac
    return message


def guest_to(view: GuestView) -> guest_pb2.Guest:
    """A guest as a node sees it."""
    nameless = guest_pb2.GuestDefinition(name=view.name)
    return guest_pb2.Guest(
        definition=definition_to(view.definition) if view.definition else nameless,
        state=view.state,  # type: ignore[arg-type]
        epoch=view.epoch,
        migration_id=view.migration_id,
        pid=view.pid,
        detail=view.detail,
    )
