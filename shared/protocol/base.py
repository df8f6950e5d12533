"""The two base classes of all frames, and the decoding of payloads. Pure: no I/O, no clock."""

import json
import re
import types
import typing
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

import msgspec
from msgspec import Raw, Struct

from shared.errors import Invalid
from shared.protocol.codes import Code
from shared.protocol.text import has_lone_surrogate
from shared.protocol.types import Rule

T = TypeVar("T", bound="Incoming")


def invalid(field: str, sentence: str) -> Invalid:
    """Return the failure for a malformed payload. They all read like this and name the field (docs/protocol.md, §2)."""
    return Invalid(f'invalid payload: "{field}" {sentence}', field=field)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class FrameType(msgspec.StructMeta):
    """Structs that are frozen and take their fields by keyword, with the class keywords `event` and `flag`."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        event: str = "",
        flag: str = "",
    ) -> "FrameType":
        if event:
            namespace |= {"event": event, "flag": flag or event.partition("/")[0]}
        return super().__new__(mcs, name, bases, namespace, frozen=True, kw_only=True, gc=False)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: str) -> None:
        super().__init__(name, bases, namespace)


class Incoming(Struct, metaclass=FrameType):
    """The payload of an event that peers send. It is always clean: decoding and constructing run its rules.

    Attributes:
        event: Its name.
        flag: Its support flag; "core" means none.
        needs_ref: Whether the answer has a payload, which is useless without a ref.
        is_answered: False for events that are never answered.
        demanded: Fields that have a default only because their absence has its own failure.
        failures: The codes of this event, in addition to those that every event can have.
        example: A payload as peers send it.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    needs_ref: ClassVar[bool] = False
    is_answered: ClassVar[bool] = True
    demanded: ClassVar[tuple[str, ...]] = ()
    failures: ClassVar[tuple[Code, ...]] = ()
    example: ClassVar[dict[str, Any]] = {}

    if TYPE_CHECKING:  # type checkers use Struct's own signature, which lacks these keywords

        def __init_subclass__(cls, *, event: str = "", flag: str = "") -> None: ...

    def __post_init__(self) -> None:
        for field, rule in _rules(type(self)):
            value = getattr(self, field)
            if value is None:
                continue
            try:
                clean = rule.apply(value)
            except ValueError as error:
                raise invalid(field, str(error)) from None
            except Invalid:
                raise invalid(field, "must not hold half of a character (a lone surrogate)") from None
            if clean is not value:
                msgspec.structs.force_setattr(self, field, clean)

    @classmethod
    def decode(cls, payload: Raw | bytes | None) -> Self:
        """See `decode_payload`."""
        return decode_payload(cls, payload)

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Correct a payload that does not decode as it is. Classes override this for docs/protocol.md, §10."""
        return {} if payload is None else payload


class Outgoing(Struct, metaclass=FrameType):
    """The payload of an event or an answer that the worker sends.

    Attributes:
        bare: Whether the frame has no payload. Its fields, if any, are next to `event` (as in the `error` event).
        status: The `status` of an answer. None for events and for `players/status`, which have no `status`.
        example: A payload.
        further_examples: Other payloads, which look different.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    bare: ClassVar[bool] = False
    status: ClassVar[str | None] = None
    example: ClassVar[dict[str, Any]] = {}
    further_examples: ClassVar[tuple[dict[str, Any], ...]] = ()

    if TYPE_CHECKING:  # type checkers use Struct's own signature, which lacks these keywords

        def __init_subclass__(cls, *, event: str = "", flag: str = "") -> None: ...


_RULES: dict[type, tuple[tuple[str, Rule], ...]] = {}
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def _rules(cls: type) -> tuple[tuple[str, Rule], ...]:
    rules = _RULES.get(cls)
    if rules is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        rules = tuple(
            (field, rule)
            for field in cls.__struct_fields__  # type: ignore[attr-defined]
            for rule in _rules_of(hints[field])
        )
        _RULES[cls] = rules
    return rules


def _rules_of(annotation: Any) -> typing.Iterator[Rule]:
    """Return the rules of a type and, if it is a union, of its members. The rules of a list's items are not its own."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from _rules_of(annotation.__origin__)
        yield from (part for part in annotation.__metadata__ if isinstance(part, Rule))
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _rules_of(part)


def decode_payload(cls: type[T], payload: Raw | bytes | None) -> T:
    """Decode the payload of a frame into the event's class. Ignores unknown keys.

    Args:
        payload: JSON, or None if the frame has no payload.

    Raises:
        Invalid: The payload does not fit. The message and `.field` name the field.
    """
    if payload is not None:
        decoder = _DECODERS.get(cls)
        if decoder is None:
            decoder = _DECODERS[cls] = msgspec.json.Decoder(cls)
        try:
            return typing.cast(T, decoder.decode(payload))
        except (ValueError, RecursionError):
            pass  # msgspec's errors are ValueErrors: try again, forgivingly, and word a better error
    return _decode_forgivingly(cls, payload)


def _decode_forgivingly(cls: type[T], payload: Raw | bytes | None) -> T:
    value: Any = None
    if payload is not None:
        try:
            value = json.loads(bytes(payload).decode())
        except (ValueError, RecursionError):
            raise Invalid("invalid payload: it is not valid JSON", field="payload") from None
    value = cls.forgive(_repair_fields(cls, value))
    if value == []:
        value = {}
    if not isinstance(value, dict):
        raise Invalid("invalid payload: it must be an object", field="payload")
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        item = value.get(field.name)
        if item is None:
            if field.required:
                raise invalid(field.name, "is missing")
            continue
        if _has_surrogate(item):
            raise invalid(field.name, "must not hold half of a character (a lone surrogate)")
        try:
            values[field.name] = msgspec.convert(item, field.type)
        except (ValueError, RecursionError):
            raise invalid(field.name, _expectation(field.type)) from None
    return cls(**values)


_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def _repair_fields(cls: type[Incoming], payload: Any) -> Any:
    """Convert lists and empty objects that Lua or PHP has encoded as each other (docs/protocol.md, §10)."""
    if not isinstance(payload, dict):
        return payload
    lists, objects = _containers(cls)
    repaired = {name: _as_list(payload[name]) for name in lists if isinstance(payload.get(name), dict)}
    return payload | repaired | {name: {} for name in objects if payload.get(name) == []}


@cache
def _containers(cls: type[Incoming]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields of a class that may be lists, and those that may be objects."""
    kinds = {
        field.name: {type(part) for part in alternatives(msgspec.inspect.type_info(field.type))}
        for field in msgspec.structs.fields(cls)
    }
    return (
        tuple(name for name, parts in kinds.items() if msgspec.inspect.ListType in parts),
        tuple(name for name, parts in kinds.items() if msgspec.inspect.StructType in parts),
    )


def _as_list(value: dict[str, Any]) -> Any:
    """Return the items of an object whose keys are all indexes, in their order. Returns other objects unchanged."""
    if not all(_INDEX.fullmatch(key) for key in value):
        return value
    return [value[key] for key in sorted(value, key=int)]


def _has_surrogate(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if has_lone_surrogate(item):
                return True
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
    return False


_EXPECTATIONS: tuple[tuple[type[msgspec.inspect.Type], str], ...] = (
    (msgspec.inspect.StructType, "must be an object, or false"),
    (msgspec.inspect.StrType, "must be a string"),
    (msgspec.inspect.IntType, "must be a whole number"),
    (msgspec.inspect.BoolType, "must be true or false"),
    (msgspec.inspect.DateTimeType, "must be a time in UTC, such as 2026-11-23T06:15:44Z"),
    (msgspec.inspect.ListType, "must be a list of strings"),
)


def _expectation(annotation: Any) -> str:
    """The end of the sentence: what a field of this type must be."""
    kinds = {type(part) for part in alternatives(msgspec.inspect.type_info(annotation))}
    return next((sentence for kind, sentence in _EXPECTATIONS if kind in kinds), "is of the wrong type")


def alternatives(declared: msgspec.inspect.Type) -> typing.Iterator[msgspec.inspect.Type]:
    """What a type may be, one by one, without what is only said about it."""
    if isinstance(declared, msgspec.inspect.Metadata):
        yield from alternatives(declared.type)
    elif isinstance(declared, msgspec.inspect.UnionType):
        for part in declared.types:
            yield from alternatives(part)
    else:
        yield declared
