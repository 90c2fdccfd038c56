"""What steps returned, for whoever waited for a saga's end."""

from __future__ import annotations

from functools import partial

from pydantic import JsonValue, ValidationError

from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.codec import decode, in_words
from saga_es.errors import DefinitionError
from saga_es.model.state import SagaState
from saga_es.outcome import Outcome, outcome_of


def outcome_with(bindings: SagaBindings | None, state: SagaState) -> Outcome:
    """Return the outcome, its results decoded by their annotations, or as JSON where no code is at hand."""
    return outcome_of(state, partial(_read, bindings, state))


def _read(bindings: SagaBindings | None, state: SagaState, name: str, value: JsonValue) -> object:
    if bindings is None:
        return value
    try:
        return decode(bindings.adapter(name), value)
    except ValidationError as error:
        raise DefinitionError(
            f"what saga {state.saga_id!r} recorded does not fit the annotation any more: {in_words(error)}. "
            "Give the changed saga another version, and register the old one beside it",
            where=f"{bindings.definition.name}.{name}",
        ) from error
