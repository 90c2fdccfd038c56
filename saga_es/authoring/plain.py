"""Annotations whose values surely come back from JSON as they were: none has to be tried, and small ones are copied."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast
from weakref import ref

from pydantic import JsonValue, TypeAdapter

EXACT: Final = 1 << 63
"""Whole numbers beyond this are tried: Python itself may refuse to read as many digits."""

FIELDS: Final = frozenset({"type", "fields", "model_name", "computed_fields"})
MODEL: Final = frozenset(
    {"type", "cls", "schema", "custom_init", "root_model", "config", "ref", "metadata", "frozen"}
)
CONFIG: Final = frozenset({"title", "frozen", "validate_assignment", "extra_fields_behavior"})
FIELD: Final = frozenset({"type", "schema", "metadata", "frozen"})
SCALARS: Final[Mapping[str, type]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "none": type(None),
}

SMALL: Final = 4096  # bytes of JSON: of more, text is written and read sooner than copied
LONG: Final = 128  # characters of a text; the same
UTF_8: Final = 4  # bytes of a character at most; an escaped quote or backslash has two
NUMBER: Final = 24  # bytes at most, as of -1.2345678901234567e-308; true, false and null have fewer


class Room:
    """How many more bytes a copy's JSON may have; below zero there is none, and the text has to tell."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = min(limit, SMALL)


class Plain(ABC):
    """A type's values as its JSON can't change them.

    Attributes:
        depth: levels of lists and objects that one has at most.
    """

    depth: int = 0

    @abstractmethod
    def holds(self, value: object) -> bool:
        """Say whether a value is one of them: of these very types in all its parts, whatever made it."""

    @abstractmethod
    def copied(self, value: object, room: Room) -> JsonValue:
        """Return one of them, looked at and read in one pass, as its JSON would be read.

        It takes its bytes, or a few more, from the room: all there is where the value is none of them, or has a text
        that JSON, or a store, may have no place for.
        """


class _Scalar(Plain):
    def __init__(self, kind: type) -> None:
        self._kind = kind

    def holds(self, value: object) -> bool:
        if type(value) is not self._kind:
            return False
        if isinstance(value, float):
            return math.isfinite(value)
        return not isinstance(value, int) or -EXACT < value < EXACT

    def copied(self, value: object, room: Room) -> JsonValue:
        if not self.holds(value):
            room.left = -1
            return None
        if not isinstance(value, str):
            room.left -= NUMBER
        elif len(value) <= LONG and value.isprintable():  # no control character, NUL or half of a pair
            room.left -= UTF_8 * len(value) + 2
        else:
            room.left = -1
        return cast("JsonValue", value)


class _Perhaps(Plain):
    def __init__(self, inner: Plain) -> None:
        self._inner, self.depth = inner, inner.depth

    def holds(self, value: object) -> bool:
        return value is None or self._inner.holds(value)

    def copied(self, value: object, room: Room) -> JsonValue:
        if value is not None:
            return self._inner.copied(value, room)
        room.left -= NUMBER
        return None


class _Items(Plain):
    def __init__(self, inner: Plain) -> None:
        self._inner, self.depth = inner, inner.depth + 1

    def holds(self, value: object) -> bool:
        if type(value) is not list:
            return False
        items = cast("list[object]", value)
        return all(self._inner.holds(item) for item in items)

    def copied(self, value: object, room: Room) -> JsonValue:
        if type(value) is not list:
            room.left = -1
            return None
        items = cast("list[object]", value)
        room.left -= 2 + len(items)
        made: list[JsonValue] = []
        for item in items:
            if room.left < 0:
                break
            made.append(self._inner.copied(item, room))
        return made


class _Fields(Plain):
    def __init__(self, kind: type, fields: Mapping[str, Plain]) -> None:
        # Not kept alive: what is known of an adapter is, as long as that lives, and a class may know its saga.
        self._kind, self._fields = ref(kind), dict(fields)
        self.depth = 1 + max([inner.depth for inner in fields.values()], default=0)
        self._around = 2 + sum([UTF_8 * len(name) + 4 for name in fields])

    def _parts_of(self, value: object) -> dict[str, object] | None:
        """Return as many as there are fields, or ``None``."""
        if type(value) is not self._kind():
            return None
        found = cast("dict[str, object]", value.__dict__)
        return found if len(found) == len(self._fields) else None

    def holds(self, value: object) -> bool:
        found = self._parts_of(value)
        if found is None:
            return False
        for name, inner in self._fields.items():  # noqa: SIM110 - a generator costs more than the rest
            if name not in found or not inner.holds(found[name]):
                return False
        return True

    def copied(self, value: object, room: Room) -> JsonValue:
        found = self._parts_of(value)
        if found is None:
            room.left = -1
            return None
        room.left -= self._around
        made: dict[str, JsonValue] = {}
        for name, item in found.items():  # in the order that is written
            inner = self._fields.get(name)
            if inner is None or room.left < 0:
                room.left = -1
                break
            made[name] = inner.copied(item, room)
        return made


_KNOWN: Final[dict[int, tuple[Plain | None, ref[TypeAdapter[Any]]]]] = {}
"""As long as the adapter lives, by its id: a saga of thousands of steps may have as many, and asks in turns."""


def plain_of(adapter: TypeAdapter[Any]) -> Plain | None:
    """Return how to know the plain values of an annotation, ``None`` where there may be none.

    Plain are texts, numbers, booleans, lists of plain values, and models of plain fields that have nothing of their own
    about them: no validator, serializer, alias, constraint, private attribute or further field. A value with a type
    of its own anywhere in it, a subclass say, is not.
    """
    key = id(adapter)
    known = _KNOWN.get(key)
    if known is None:
        try:
            found = _plain(adapter.core_schema)
        except (AttributeError, LookupError, TypeError):  # a schema that is built later, or of another form
            found = None
        known = _KNOWN[key] = found, ref(adapter, partial(_forget, key))
    return known[0]


def _forget(key: int, _: object) -> None:
    del _KNOWN[key]  # before the id can be another's


def _plain(schema: Mapping[str, Any]) -> Plain | None:
    match schema["type"]:
        case "model":
            return _model(schema)
        case "nullable" if set(schema) == {"type", "schema"}:
            inner = _plain(schema["schema"])
            return _Perhaps(inner) if inner is not None else None
        case "default" if "serialization" not in schema:  # is for a field that is not given: all are recorded
            return _plain(schema["schema"])
        case "list" if set(schema) == {"type", "items_schema"}:
            inner = _plain(schema["items_schema"])
            return _Items(inner) if inner is not None else None
        case kind if kind in SCALARS and set(schema) == {"type"}:
            return _Scalar(SCALARS[kind])
        case _:
            return None


def _model(schema: Mapping[str, Any]) -> Plain | None:
    inside, config, kind = schema["schema"], schema.get("config", {}), schema["cls"]
    is_bare = schema.keys() <= MODEL and inside.keys() <= FIELDS and config.keys() <= CONFIG
    if not is_bare or inside["type"] != "model-fields" or inside.get("computed_fields"):
        return None
    if schema.get("custom_init") or schema.get("root_model") or kind.__private_attributes__:
        return None
    if config.get("extra_fields_behavior") == "allow":
        return None
    fields: dict[str, Plain] = {}
    for name, field in inside["fields"].items():
        is_bare = field.keys() <= FIELD and name.isprintable()
        found = _plain(field["schema"]) if is_bare else None
        if found is None:
            return None
        fields[name] = found
    return _Fields(kind, fields)
