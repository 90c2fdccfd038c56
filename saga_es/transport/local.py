"""Steps that run in this process: decode the arguments, call, encode the answer or say what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from pydantic import TypeAdapter

from saga_es.authoring.attempt import CURRENT, Attempt
from saga_es.authoring.bindings import Call, SagaBindings, StepBinding
from saga_es.authoring.codec import decode, encode
from saga_es.errors import DefinitionError, PayloadTooLarge, Rejected
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.effects import RunAttempt
from saga_es.model.problem import Problem, ProblemKind

MAX_PAYLOAD: Final = 256 * 1024  # bytes of JSON
MAX_DEPTH: Final = 64  # levels
LONGEST_MESSAGE: Final = 2_000  # characters
PASSING: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What is nobody's answer."""


def problem_of(error: BaseException, kind: ProblemKind) -> Problem:
    """Return the exception as it is recorded: text that every store can hold, at most 2,000 characters."""
    try:
        message = str(error)
    except Exception as worse:  # noqa: BLE001 - the user's own __str__
        message = f"({type(worse).__name__} while its text was made)"
    if len(message) > LONGEST_MESSAGE:
        message = message[: LONGEST_MESSAGE - 1] + "…"
    return Problem(kind=kind, type=_storable(type(error).__name__), message=_storable(message))


def _storable(text: str) -> str:
    # Lone surrogates are no UTF-8, and PostgreSQL holds no NUL.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a result may be: ``max_payload`` in bytes of JSON, ``max_depth`` in levels."""

    max_payload: int = MAX_PAYLOAD
    max_depth: int = MAX_DEPTH


class LocalExchange:
    """A call of a function in this process; its context is a copy of its own (see `Exchange`)."""

    __slots__ = ("attempt", "bindings", "function", "is_probe", "limits", "step")

    def __init__(
        self,
        function: Call,
        attempt: RunAttempt,
        bindings: SagaBindings,
        step: StepBinding,
        limits: Limits,
        *,
        is_probe: bool = False,
    ) -> None:
        self.function, self.attempt, self.bindings, self.step = function, attempt, bindings, step
        self.limits, self.is_probe = limits, is_probe

    @property
    def blocks(self) -> bool:
        return not self.function.is_coroutine

    def made(self) -> Succeeded | Failed:
        values = self._values()
        if isinstance(values, Failed):
            return values
        try:
            returned = self._called(values)
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is its answer
            return self.failed(error)
        return self._answer(returned)

    async def awaited(self) -> Succeeded | Failed:
        values = self._values()
        if isinstance(values, Failed):
            return values
        try:
            returned = await cast("Awaitable[object]", self._called(values))
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is its answer
            return self.failed(error)
        return self._answer(returned)

    def failed(self, error: BaseException) -> Failed:
        if self.attempt.op == "action" and isinstance(error, (Rejected, *self.step.rejects)):
            # The step's own word, which no retry follows, or the probe's; nothing is definite of a compensation.
            return Failed(problem_of(error, ProblemKind.REJECTED), final=not self.is_probe)
        return Failed(problem_of(error, ProblemKind.ERROR))

    def _values(self) -> list[object] | Failed:
        """Return the arguments, decoded anew: no attempt sees what another did to its own."""
        absent, recorded = self.attempt.absent, self.attempt.arguments
        try:
            return [
                None if absent >> place & 1 else decode(adapter, recorded[place])
                for place, adapter in enumerate(self._adapters())
            ]
        except Exception as error:  # noqa: BLE001 - and never a rejection, even where rejects= names its class
            return Failed(problem_of(error, ProblemKind.ERROR))

    def _adapters(self) -> list[TypeAdapter[Any]]:
        """Return what decodes each argument."""
        if self.attempt.op == "compensation":
            return [self.bindings.input, self.step.result]
        if self.is_probe or not self.step.needs:
            return [self.bindings.input]
        return [self.bindings.input, *map(self.bindings.adapter, self.step.needs)]

    def _called(self, values: Sequence[object]) -> object:
        function = self.function
        if not function.takes_attempt:
            CURRENT.set(self.attempt)
            return function.function(*values)
        CURRENT.set(attempt := Attempt.of(self.attempt))
        return function.function(*values, attempt=attempt)

    def _answer(self, returned: object) -> Succeeded | Failed:
        """Return the result as JSON; what can't be recorded is no success, and no rejection either."""
        if self.attempt.op == "compensation":
            return Succeeded(None)
        try:
            value = encode(
                self.step.result,
                returned,
                what=_result_of(self.attempt.step),
                max_payload=self.limits.max_payload,
                max_depth=self.limits.max_depth,
            )
        except PayloadTooLarge as error:
            return Failed(problem_of(error, ProblemKind.TOO_LARGE))
        except Exception as error:  # noqa: BLE001 - a user's serializer may raise anything
            return Failed(problem_of(error, ProblemKind.ERROR))
        return Succeeded(value)


@lru_cache(maxsize=1 << 16)  # a wide saga's steps come round and round: fewer than they are would be none
def _result_of(step: str) -> str:
    return f"the result of {step!r}"


class LocalTransport:
    """Calls the functions that a saga's bindings name; see `Transport`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def call(self, attempt: RunAttempt, bindings: SagaBindings) -> LocalExchange:
        """Return the attempt's own call, of the action or the compensation."""
        step = bindings.steps[attempt.step]
        function = step.action if attempt.op == "action" else step.compensation
        if function is None:
            raise DefinitionError(
                "has no compensation to run", where=f"{bindings.definition.name}.{attempt.step}"
            )
        return LocalExchange(function, attempt, bindings, step, self._limits)

    def probe(self, attempt: RunAttempt, bindings: SagaBindings) -> LocalExchange | None:
        """Return the call of the step's probe, if it has one: the input, and the attempt it asks about."""
        step = bindings.steps[attempt.step]
        if attempt.op != "action" or step.probe is None:
            return None
        return LocalExchange(step.probe, attempt, bindings, step, self._limits, is_probe=True)
