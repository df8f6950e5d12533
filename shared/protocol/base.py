"""The two base classes of all frames, and how a payload becomes a value of one. Pure: no I/O, no clock."""

import json
import typing
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

import msgspec
from msgspec import Raw, Struct

from shared.errors import Invalid
from shared.protocol.text import has_lone_surrogate
from shared.protocol.types import Rule

T = TypeVar("T", bound="Incoming")


def invalid(field: str, sentence: str) -> Invalid:
    """The failure for a malformed payload: every one of them reads so, and names the field (§2)."""
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
    """The payload of an event that peers send. A value of it is clean: decoding and constructing run the fields' rules.

    event: its name. flag: the support flag it belongs to ("core": none). needs_ref: the answer carries a payload, so
    it makes no sense without a ref. example: a payload as peers send it.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    needs_ref: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]] = {}

    if TYPE_CHECKING:  # Struct's own signature, which type checkers go by, knows nothing of the keywords

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
        """What a payload that does not decode as it stands is taken for. Classes override it where §10 asks for it."""
        return {} if payload is None else payload


class Outgoing(Struct, metaclass=FrameType):
    """The payload of what the worker sends: an event of its own, or an answer that carries one.

    bare: the fields stand at the top level of the frame, beside `event` (the `error` event), or there are none.
    status: what `status` an answer of this kind has; None for events and for `players/status`, which have no such key.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    bare: ClassVar[bool] = False
    status: ClassVar[str | None] = None
    example: ClassVar[dict[str, Any]] = {}

    if TYPE_CHECKING:  # Struct's own signature, which type checkers go by, knows nothing of the keywords

        def __init_subclass__(cls, *, event: str = "", flag: str = "") -> None: ...


_RULES: dict[type, tuple[tuple[str, Rule], ...]] = {}
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def _rules(cls: type) -> tuple[tuple[str, Rule], ...]:
    known = _RULES.get(cls)
    if known is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        known = tuple(
            (field, rule)
            for field in cls.__struct_fields__  # type: ignore[attr-defined]
            for part in (hints[field], *typing.get_args(hints[field]))
            for rule in getattr(part, "__metadata__", ())
            if isinstance(rule, Rule)
        )
        _RULES[cls] = known
    return known


def decode_payload(cls: type[T], payload: Raw | bytes | None) -> T:
    """The payload of a frame as the event's class. payload: JSON, or None where the frame had none.

    Unknown keys are ignored. Raises Invalid, with the field's name in it and in `.field`, where it does not fit.
    """
    if payload is not None:
        decoder = _DECODERS.get(cls)
        if decoder is None:
            decoder = _DECODERS[cls] = msgspec.json.Decoder(cls)
        try:
            return typing.cast(T, decoder.decode(payload))
        except (ValueError, RecursionError):
            pass  # msgspec's errors are ValueErrors: look again, forgivingly, and for a good sentence
    return _decode_forgivingly(cls, payload)


def _decode_forgivingly(cls: type[T], payload: Raw | bytes | None) -> T:
    value: Any = None
    if payload is not None:
        try:
            value = json.loads(bytes(payload).decode())
        except (ValueError, RecursionError):
            raise Invalid("invalid payload: it is no JSON that can be read", field="payload") from None
    value = cls.forgive(value)
    if not isinstance(value, dict):
        raise Invalid("invalid payload: it must be an object", field="payload")
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        given = value.get(field.name)
        if given is None:
            if field.required:
                raise invalid(field.name, "is missing")
            continue
        if _holds_surrogate(given):
            raise invalid(field.name, "must not hold half of a character (a lone surrogate)")
        try:
            values[field.name] = msgspec.convert(given, field.type)
        except (ValueError, RecursionError):
            raise invalid(field.name, _expectation(field.type)) from None
    return cls(**values)


def _holds_surrogate(value: Any) -> bool:
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
    found = msgspec.inspect.type_info(annotation)
    parts: tuple[msgspec.inspect.Type, ...] = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    kinds = [type(part.type if isinstance(part, msgspec.inspect.Metadata) else part) for part in parts]
    return next((sentence for kind, sentence in _EXPECTATIONS if kind in kinds), "is of the wrong type")
