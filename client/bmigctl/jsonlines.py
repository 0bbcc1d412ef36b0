"""Messages of the contract as JSON objects, one a line; pure.

Rule: keys are the contract's own, in snake_case; a number, text or list is always there, a
message, and what the contract calls absent, only when it is set. 64-bit numbers are numbers
(protobuf's JSON makes them texts), enums are their names.
"""

import json
from typing import Any

from bmig.v1 import migration_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from bmigctl.errors import BmigctlError
from bmigctl.watch import InDoubt, StreamLost, StreamResumed, Update

_WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def plain(message: Message) -> dict[str, Any]:
    """The message as a table."""
    table = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _numbers(table, message)


def line(kind: str, **facts: object) -> str:
    """One line of output."""
    return json.dumps({"kind": kind, **facts}, ensure_ascii=False)


def of_update(update: Update) -> str:
    """One line for what a watch yielded."""
    match update:
        case migration_pb2.Event():
            return json.dumps(plain(update), ensure_ascii=False)
        case StreamLost():
            return line("stream_lost", node=update.node, message=update.cause)
        case StreamResumed():
            return line("stream_resumed", node=update.node)
        case InDoubt():
            return line("in_doubt", migration=plain(update.migration))
        case _:
            return line("result", migration=plain(update))


def of_error(error: BmigctlError) -> str:
    """One line for an error."""
    return line(
        "error",
        reason=error.reason,
        message=error.message,
        guest=error.guest,
        side=error.side,
        location=error.location,
        advice=error.advice,
        violations=list(error.violations),
        exit_code=error.exit_code,
    )


def _numbers(table: dict[str, Any], message: Message) -> dict[str, Any]:
    for field in message.DESCRIPTOR.fields:
        if field.name not in table:
            continue
        value = getattr(message, field.name)
        if field.cpp_type in _WIDE:
            table[field.name] = list(value) if field.is_repeated else value
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            entries = table[field.name]
            if field.is_repeated:
                table[field.name] = [
                    _numbers(entry, part) for entry, part in zip(entries, value, strict=True)
                ]
            else:
                table[field.name] = _numbers(entries, value)
    return table
