"""The stable names of calls: the same over retries and crashes."""

from __future__ import annotations

from saga_es.errors import InvalidInput
from saga_es.model.events import Op

MAX_SAGA_ID = 200


def action_call(step: str) -> str:
    """Return what follows a saga's id in the key of a step's action."""
    return call_key("", step, "action", 1)


def call_key(saga_id: str, step: str, op: Op, round: int) -> str:  # noqa: A002 - the word of the log
    """Return ``saga_id/step/op/round``, the idempotency key of a call."""
    return f"{saga_id}/{step}/{op}/{round}"


def check_saga_id(saga_id: object) -> str:
    """Return the id, or raise InvalidInput: 1 to 200 printable characters."""
    if not isinstance(saga_id, str) or not 1 <= len(saga_id) <= MAX_SAGA_ID or not saga_id.isprintable():
        raise InvalidInput(
            "saga_id", problem=f"{saga_id!r}; it has to be 1 to {MAX_SAGA_ID} printable characters"
        )
    return saga_id
