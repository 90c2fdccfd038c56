"""Values to recorded JSON and back, so that a run and its recovery can't differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import pydantic_core
from pydantic import JsonValue, TypeAdapter, ValidationError

from saga_es.authoring.fidelity import brief, in_order, is_same
from saga_es.authoring.plain import Room, plain_of
from saga_es.errors import InvalidInput, PayloadTooLarge

OUT_OF_DEPTH: Final = ("depth exceeded", "Circular reference", "recursion limit")
"""What pydantic says of values that are nested too deep to be looked at."""

NUL: Final = b"\\u0000"


def encode(
    adapter: TypeAdapter[Any], value: object, *, what: str, max_payload: int, max_depth: int
) -> JsonValue:
    """Return ``value`` as the JSON that is recorded of it.

    Args:
        adapter: of the value's annotation.
        value: what a step returned, or what was validated before.
        what: names the value in errors: "the result of 'book_plane'".
        max_payload: bytes of UTF-8 JSON.
        max_depth: levels of lists and objects.

    Raises:
        PayloadTooLarge: it has too many bytes or levels.
        InvalidInput: it is not what its annotation says, no store can hold it, or it comes back different.
    """
    return _encoded(adapter, value, what, max_payload, max_depth)[0]


def _encoded(
    adapter: TypeAdapter[Any], value: object, what: str, max_payload: int, max_depth: int
) -> tuple[JsonValue, bool]:
    """Return the JSON, and whether the value is a plain one."""
    plain = plain_of(adapter)
    if plain is not None and plain.depth <= max_depth:
        room = Room(max_payload)
        copy = plain.copied(value, room)
        if room.left >= 0:
            return copy, True
    text = _text_of(adapter, value, what, max_depth)
    if len(text) > max_payload:
        raise PayloadTooLarge(what, size=len(text), limit=max_payload)
    try:
        recorded: JsonValue = pydantic_core.from_json(text)
    except ValueError as error:
        raise _unrecordable(error, what, max_depth) from error
    _check_depth(text, recorded, what, max_depth)
    is_plain = plain is not None and plain.holds(value)
    # Found by find: `in` tries each for a number first, which takes thrice as long.
    if text.find(NUL) >= 0 or not (is_plain or (text.find(b"NaN") < 0 and text.find(b"Infinity") < 0)):
        _check_storable(recorded, what)  # where the bytes tell to look
    if not is_plain:
        _check_round_trip(adapter, value, text, what)
    return recorded, is_plain


def encode_given(
    adapter: TypeAdapter[Any], value: object, *, what: str, max_payload: int, max_depth: int
) -> JsonValue:
    """Validate what a caller passed in (an input, a payload, a supplied result), then ``encode`` it.

    Equal values give equal JSON, so that a second start or signal is known for the same.
    """
    try:
        valid = adapter.validator.validate_python(value, by_alias=True, by_name=True)
    except ValidationError as error:
        raise InvalidInput(what, problem=in_words(error)) from error
    except RecursionError as error:
        raise PayloadTooLarge(what, size=max_depth + 1, limit=max_depth, unit="levels") from error
    return _ordered(adapter, valid, what, max_payload, max_depth)


def encode_text(
    adapter: TypeAdapter[Any], text: str, *, what: str, max_payload: int, max_depth: int
) -> JsonValue:
    """Do as ``encode_given`` with a value that came as JSON, perhaps written in another language."""
    try:
        valid = _read(adapter, text.encode())
    except ValidationError as error:
        raise InvalidInput(what, problem=in_words(error)) from error
    except RecursionError as error:
        raise PayloadTooLarge(what, size=max_depth + 1, limit=max_depth, unit="levels") from error
    return _ordered(adapter, valid, what, max_payload, max_depth)


def _ordered(
    adapter: TypeAdapter[Any], valid: object, what: str, max_payload: int, max_depth: int
) -> JsonValue:
    """Encode what may be compared with what another process recorded: sets in one order; a plain value has none."""
    recorded, is_plain = _encoded(adapter, valid, what, max_payload, max_depth)
    return recorded if is_plain else in_order(valid, recorded)


def decode(adapter: TypeAdapter[Any], recorded: JsonValue) -> Any:
    """Return a fresh value from what is recorded; Any, since the adapter's type is the user's."""
    if plain_of(adapter) is not None:  # of what JSON says as Python does; it has no alias
        return adapter.validator.validate_python(recorded)
    # By way of text, as JSON: a recorded "2026-11-24" is a date again even where the model is strict.
    return _read(adapter, pydantic_core.to_json(recorded))


def in_words(error: ValidationError) -> str:
    """Return a validation error as one line, its first problems by place."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, it['loc'])) or 'value'}: {it['msg']}" for it in problems[:3]]
    return "; ".join(told) + (f" (and {len(problems) - 3} more)" if len(problems) > len(told) else "")


def _text_of(adapter: TypeAdapter[Any], value: object, what: str, max_depth: int) -> bytes:
    # By name, since an alias may be for one direction alone. No warnings: what they guess, the round trip knows.
    try:
        return adapter.serializer.to_json(value, round_trip=True, by_alias=False, warnings=False)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unrecordable(error, what, max_depth) from error


def _read(adapter: TypeAdapter[Any], text: bytes) -> Any:
    # By alias too: a client that has no types of the saga's records what it was given.
    return adapter.validator.validate_json(text, by_alias=True, by_name=True)


def _unrecordable(error: Exception, what: str, max_depth: int) -> Exception:
    reason = str(error).partition("\n")[0]
    if isinstance(error, RecursionError) or any(sign in reason for sign in OUT_OF_DEPTH):
        return PayloadTooLarge(what, size=max_depth + 1, limit=max_depth, unit="levels")
    return InvalidInput(what, problem=f"it can't be recorded as JSON: {reason}")


def _check_depth(text: bytes, recorded: JsonValue, what: str, max_depth: int) -> None:
    if len(text) <= max_depth or text.count(b"[") + text.count(b"{") <= max_depth:
        return  # so few brackets can't be nested deeper
    level, depth = [recorded], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > max_depth:
            raise PayloadTooLarge(what, size=depth, limit=max_depth, unit="levels")
        level = [inner for outer in level for inner in _inside(outer)]


def _inside(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, list) else iter(())


def _check_storable(recorded: JsonValue, what: str) -> None:
    """Raise InvalidInput for what JSON, or a store's JSON, has no place for."""
    waiting = [recorded]
    for value in waiting:  # grows while it is read
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput(what, problem=f"it holds {value}, and JSON has no such number")
        if isinstance(value, str) and "\x00" in value:
            raise InvalidInput(
                what, problem="a text in it holds the character NUL, which PostgreSQL can't keep"
            )
        if isinstance(value, dict):
            waiting.extend(value)
        waiting.extend(_inside(value))


def _check_round_trip(adapter: TypeAdapter[Any], value: object, text: bytes, what: str) -> None:
    try:
        back = _read(adapter, text)
    except ValidationError as error:
        problem = f"{brief(value)} can't be read back from what is recorded of it: {in_words(error)}"
        raise InvalidInput(what, problem=problem) from error
    if is_same(back, value):
        return
    problem = f"it does not survive being recorded: {brief(value)} comes back as {brief(back)}"
    raise InvalidInput(what, problem=problem)
