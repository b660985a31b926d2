"""Between the values of the API and the messages of proto/cleancut/v1, by field name.

The only place that touches generated messages as data; Any stops here. Names are equal on both
sides, enums are text on ours (without the prefix buf wants), times are RFC 3339 text, and None
means that the field is not set. A number that this version does not know, of a newer peer, reads
as the struct's default rather than as an error.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar

import msgspec
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from cleancut.api.values import ApiValue
from cleancut.core.primitives.errors import Invalid

S = TypeVar("S", bound=ApiValue)
M = TypeVar("M", bound=Message)
TIMESTAMP = "google.protobuf.Timestamp"
_LOWER_CASE = {"cleancut.v1.Consistency"}
"""Enums whose text in JSON is lower-case, with dashes."""


def from_message(message: Message, kind: type[S]) -> S:
    """The value of `kind` that `message` carries."""
    return msgspec.convert(_to_plain(message), kind)


def from_response(response: Message, kind: type[S]) -> S:
    """The value of `kind` in the only field of `response`."""
    (field,) = response.DESCRIPTOR.fields
    return from_message(getattr(response, field.name), kind)


def new_message(kind: type[M], **fields: Any) -> M:
    """A message of class `kind` with these fields. Raises: Invalid, for a value that its field
    cannot hold, such as a number out of range or text that is not UTF-8."""
    for name, value in fields.items():
        _check_many(kind.DESCRIPTOR.fields_by_name[name], value)
    try:
        return kind(**fields)
    except (ValueError, TypeError):
        for name, value in fields.items():
            try:
                kind(**{name: value})
            except (ValueError, TypeError) as error:
                raise _unfit(name, value, error) from error
        raise


def to_message(value: ApiValue, kind: type[Any]) -> Any:
    """A message of class `kind` that carries `value`. Raises: as `new_message`."""
    message = kind()
    _fill(message, value)
    return message


def is_map(field: FieldDescriptor) -> bool:
    """True for a map; all maps of this API are from text to text."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def prefix_of(enum: EnumDescriptor) -> str:
    """What each value's name starts with: that of the zero value, without UNSPECIFIED."""
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def _to_plain(message: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if is_map(field):
            plain[field.name] = dict(getattr(message, field.name))
        elif field.is_repeated:
            plain[field.name] = [_scalar(field, item) for item in getattr(message, field.name)]
        elif field.has_presence and not message.HasField(field.name):
            continue  # the struct's default says what is not there
        elif field.enum_type is None or getattr(message, field.name) in _known(field.enum_type):
            plain[field.name] = _scalar(field, getattr(message, field.name))
    return plain


def _known(enum: EnumDescriptor) -> set[int]:
    return set(enum.values_by_number) - {0}


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == TIMESTAMP:
            return value.ToJsonString()
        return _to_plain(value)
    if field.enum_type is not None:
        text = field.enum_type.values_by_number[value].name.removeprefix(prefix_of(field.enum_type))
        return text.lower().replace("_", "-") if field.enum_type.full_name in _LOWER_CASE else text
    return value


def _set(message: Any, field: FieldDescriptor, value: Any) -> None:
    if value is None:
        return
    _check_many(field, value)
    if is_map(field):
        getattr(message, field.name).update(value)
    elif field.is_repeated:
        if field.message_type is None:
            getattr(message, field.name).extend(value)
            return
        for item in value:
            _fill(getattr(message, field.name).add(), item)
    elif field.message_type is None:
        setattr(message, field.name, _number(field, value))
    elif field.message_type.full_name == TIMESTAMP:
        getattr(message, field.name).FromJsonString(value)
    else:
        target = getattr(message, field.name)
        target.SetInParent()
        _fill(target, value)


def _check_many(field: Any, value: Any) -> None:
    """Raises: Invalid, for text where several values belong: it would be taken letter by letter."""
    if field.is_repeated and isinstance(value, str | bytes):
        raise Invalid(
            f"invalid {field.name.replace('_', ' ')} {value!r}: a sequence is expected",
            f"write ({value!r},) for one",
        )


def _fill(target: Any, value: ApiValue) -> None:
    for name in value.__struct_fields__:
        given = getattr(value, name)
        try:
            _set(target, target.DESCRIPTOR.fields_by_name[name], given)
        except (ValueError, TypeError) as error:
            raise _unfit(name, given, error) from error


def _unfit(name: str, value: Any, error: Exception) -> Invalid:
    reason = str(error) if isinstance(value, int | float) else "it is not of the field's type"
    if isinstance(error, UnicodeError):
        reason = "it is not valid UTF-8"
    return Invalid(f"invalid {name.replace('_', ' ')} {value!r}: {reason}", "give another value")


def _number(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None:
        return value
    text = value.value if isinstance(value, Enum) else value
    return field.enum_type.values_by_name[
        prefix_of(field.enum_type) + text.upper().replace("-", "_")
    ].number
