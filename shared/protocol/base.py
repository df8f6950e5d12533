"""The two base classes of all frames, and how a payload becomes a value of one. Pure: no I/O, no clock."""

import json
import types
import typing
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

import msgspec
from msgspec import Raw, Struct

from shared.errors import Invalid
from shared.protocol.codes import Code
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
    it makes no sense without a ref. is_answered: false for what is never answered. demanded: fields that have a default
    only because their absence is a failure of its own. failures: the codes that come up with this event beside those
    that any event may meet. example: a payload as peers send it.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    needs_ref: ClassVar[bool] = False
    is_answered: ClassVar[bool] = True
    demanded: ClassVar[tuple[str, ...]] = ()
    failures: ClassVar[tuple[Code, ...]] = ()
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
    example: a payload; further_examples: others that look different.
    """

    event: ClassVar[str] = ""
    flag: ClassVar[str] = ""
    bare: ClassVar[bool] = False
    status: ClassVar[str | None] = None
    example: ClassVar[dict[str, Any]] = {}
    further_examples: ClassVar[tuple[dict[str, Any], ...]] = ()

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
            for rule in _rules_of(hints[field])
        )
        _RULES[cls] = known
    return known


def _rules_of(annotation: Any) -> typing.Iterator[Rule]:
    """The rules beside a type, and beside what it is one of. Those of a list's items are not the list's."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from _rules_of(annotation.__origin__)
        yield from (part for part in annotation.__metadata__ if isinstance(part, Rule))
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _rules_of(part)


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
    kinds = {type(part) for part in alternatives(msgspec.inspect.type_info(annotation))}
    return next((sentence for kind, sentence in _EXPECTATIONS if kind in kinds), "is of the wrong type")


def alternatives(found: msgspec.inspect.Type) -> typing.Iterator[msgspec.inspect.Type]:
    """What a type may be, one by one, without what is only said about it."""
    if isinstance(found, msgspec.inspect.Metadata):
        yield from alternatives(found.type)
    elif isinstance(found, msgspec.inspect.UnionType):
        for part in found.types:
            yield from alternatives(part)
    else:
        yield found
