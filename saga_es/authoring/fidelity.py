"""Whether two values, or what is recorded of them, are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import pydantic_core
from pydantic import BaseModel, JsonValue

SHOWN: Final = 80  # characters of a value in an error


def is_same(back: object, value: object) -> bool:
    """Say whether ``back`` is ``value`` again: equal, or alike in all its parts where those can't say so.

    A type without ``__eq__`` of its own says of two objects only that they are two; of the same type, and written
    as the same JSON, they count as the same.
    """
    if _equal(back, value):
        return True
    if type(back) is not type(value):
        return False
    parts, others = _parts(back), _parts(value)
    if parts is not None and others is not None:
        return parts.keys() == others.keys() and all(is_same(parts[key], others[key]) for key in parts)
    return type(value).__eq__ is object.__eq__


def in_order(value: object, recorded: JsonValue) -> JsonValue:
    """Return ``recorded`` with its sets sorted: equal values are equal JSON then, in every process."""
    if isinstance(recorded, list) and issubclass(type(value), set | frozenset):
        return sorted(recorded, key=pydantic_core.to_json)
    nested = _nested(recorded)
    parts = _parts(value) if nested else None
    if parts is None or len(parts) != len(nested):
        return recorded
    values = list(parts.values())
    if not isinstance(recorded, dict):
        return [in_order(part, inner) for part, inner in zip(values, nested, strict=True)]
    # Fields are found by name; the keys of mappings were made texts, and stand in the same order.
    values = [parts.get(key, part) for key, part in zip(recorded, values, strict=True)]
    return {key: in_order(part, recorded[key]) for key, part in zip(recorded, values, strict=True)}


def _nested(recorded: JsonValue) -> Sequence[JsonValue]:
    """Return what a list or an object holds, if any of it may hold a set."""
    inside = [*recorded.values()] if isinstance(recorded, dict) else recorded
    if not isinstance(inside, list) or not any(isinstance(each, list | dict) for each in inside):
        return ()
    return inside


def brief(value: object) -> str:
    """Return a value for an error's text: its type, and the beginning of what it says of itself."""
    try:
        text = f"{type(value).__name__} {value!r}"
    except Exception:  # noqa: BLE001 - the user's own __repr__
        text = type(value).__name__
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the user's own __eq__
        return False


def _parts(value: object) -> Mapping[Any, object] | None:
    """Return what a value is made of, or ``None`` where only it knows; keys may be anything, hence Any."""
    if isinstance(value, BaseModel):  # its private attributes are not recorded, and not missed
        return {
            **{name: getattr(value, name) for name in type(value).model_fields},
            **(value.model_extra or {}),
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return cast("Mapping[Any, object]", value)
    if isinstance(value, list | tuple):
        return dict(enumerate(cast("Iterable[object]", value)))
    return None
