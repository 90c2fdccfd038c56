"""How a saga ended, for whoever waited for that."""

from __future__ import annotations

from pydantic import JsonValue, ValidationError

from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.codec import decode, in_words
from saga_es.errors import DefinitionError, InvalidInput
from saga_es.model.standing import ending_of, residue_of, results_of, status_of
from saga_es.model.state import SagaState
from saga_es.outcome import Outcome


def outcome_with(bindings: SagaBindings | None, state: SagaState) -> Outcome:
    """Return the outcome that a recorded state tells.

    Args:
        bindings: whose annotations say what the results are; where there are none, they stay JSON.
        state: of a saga that has ended.

    Raises:
        InvalidInput: it has not.
        DefinitionError: a recorded result does not fit its annotation any more.
    """
    fold = state.fold
    ending = ending_of(fold)
    if ending is None:
        problem = f"it has none yet, it is {state.status.value}"
        raise InvalidInput(f"the outcome of saga {fold.saga_id!r}", problem=problem)
    results: dict[str, object] = {}
    for name, recorded in results_of(fold):
        results[name] = recorded if bindings is None else _read(bindings, fold.saga_id, name, recorded)
    return Outcome(fold.saga_id, status_of(fold), ending, results, fold.cause, residue_of(fold))


def _read(bindings: SagaBindings, saga_id: str, name: str, recorded: JsonValue) -> object:
    try:
        return decode(bindings.adapter(name), recorded)
    except ValidationError as error:
        raise DefinitionError(
            f"what saga {saga_id!r} recorded does not fit the annotation any more: {in_words(error)}. "
            "Give the changed saga another version, and register the old one beside it",
            where=f"{bindings.definition.name}.{name}",
        ) from error
