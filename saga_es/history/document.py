"""History as JSON, ``saga_es.history/1``: byte-stable, and read without anybody's code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import AwareDatetime, Field, JsonValue, ValidationError

from saga_es.errors import DefinitionError, InvalidInput
from saga_es.history.text import instant
from saga_es.model.base import Frozen
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import EVENT_TYPES, Recorded

FORMAT: Final = "saga_es.history/1"

_FIRST: Final = ("name", "version", "digest", "steps", "signals", "on_failure", "order", "input_schema")
_STEP_FIRST: Final = ("name", "title", "needs", "pivot", "compensation")


class _Event(Frozen):
    version: int
    type: str
    at: AwareDatetime
    data: dict[str, JsonValue]
    metadata: dict[str, JsonValue]


class _Document(Frozen):
    format: str
    saga_id: str = Field(min_length=1)
    definition: dict[str, JsonValue]
    events: tuple[_Event, ...]


class Document(Frozen):
    """What a history's JSON holds, its events decoded but not folded."""

    saga_id: str
    definition: SagaDefinition
    events: tuple[Recorded, ...]


def write(saga_id: str, definition: SagaDefinition, events: Sequence[Recorded]) -> str:
    """Return the JSON text: keys always in the same order, one event a line."""
    head = f'"format": {_dumps(FORMAT)}, "saga_id": {_dumps(saga_id)}'
    plan = _dumps(definition_value(definition))
    lines = ",\n  ".join(_dumps(event_value(recorded)) for recorded in events)
    return f'{{{head},\n "definition": {plan},\n "events": [\n  {lines}\n ]}}'


def definition_value(definition: SagaDefinition) -> dict[str, JsonValue]:
    """Return the plan as it stands in a history: what identifies it first, then its steps, then the rest."""
    value = definition.to_json_value()
    steps = value["steps"]
    if isinstance(steps, list):
        value["steps"] = [_led_by(_STEP_FIRST, step) for step in steps if isinstance(step, dict)]
    return _led_by(_FIRST, value)


def event_value(recorded: Recorded) -> dict[str, JsonValue]:
    """Return one event as it stands in a history."""
    return {
        "version": recorded.version,
        "type": recorded.type,
        "at": instant(recorded.at),
        "data": recorded.event.model_dump(mode="json"),
        "metadata": dict(recorded.metadata),
    }


def read(text: str) -> Document:
    """Return what ``write`` wrote.

    Raises:
        InvalidInput: it is not JSON, not of this format, or an event or the definition does not validate.
    """
    _check_format(text)
    try:
        document = _Document.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise invalid(_first(error)) from error
    return Document.model_construct(
        saga_id=document.saga_id,
        definition=_definition(document.definition),
        events=tuple(_recorded(event) for event in document.events),
    )


def invalid(problem: str) -> InvalidInput:
    return InvalidInput("the history's JSON", problem=problem)


def _check_format(text: str) -> None:
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise invalid(f"it is not JSON ({error})") from error
    found: object = value.get("format") if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - only shown
    if found != FORMAT:
        raise invalid(f"its format is {found!r}, and this saga_es reads {FORMAT!r}")


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON number")


def _definition(value: dict[str, JsonValue]) -> SagaDefinition:
    try:
        return SagaDefinition.from_json_value(value)
    except ValidationError as error:
        raise invalid(f"its definition does not validate: {_first(error)}") from error
    except (ValueError, DefinitionError) as error:
        raise invalid(f"its definition does not hold: {error}") from error


def _recorded(entry: _Event) -> Recorded:
    known = EVENT_TYPES.get(entry.type)
    if known is None:
        raise invalid(
            f"event {entry.version} is of the type {entry.type!r}, which this saga_es does not know"
        )
    try:
        event = known.model_validate_json(json.dumps(entry.data), strict=True)
    except ValidationError as error:
        raise invalid(f"event {entry.version}, {entry.type}: {_first(error)}") from error
    return Recorded(entry.version, entry.type, entry.at, event, entry.metadata)


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, detail["loc"]))
    return f"{where}: {detail['msg']}" if where else detail["msg"]


def _led_by(first: Sequence[str], value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    led = {key: value[key] for key in first if key in value}
    return {**led, **value}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
