"""Steps that run in this process: decode the arguments, call, encode the answer or say what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import TypeAdapter

from saga_es.authoring.attempt import Attempt, enter
from saga_es.authoring.bindings import Call, SagaBindings
from saga_es.authoring.codec import decode, encode
from saga_es.errors import DefinitionError, PayloadTooLarge, Rejected
from saga_es.model.base import record
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.effects import RunAttempt
from saga_es.model.events import Op
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


@dataclass(frozen=True, slots=True)
class Way:
    """How a function of a saga is called, the same for every attempt.

    Attributes:
        bindings: the saga's.
        arguments: what decodes each.
        result: encodes what it returns; ``None`` where that is of no interest (a compensation).
        rejects: the exceptions that mean "no effect"; empty where none does (a compensation).
        final: whether a rejection is the step's own word, which no retry follows, or a probe's.
    """

    bindings: SagaBindings
    function: Call
    arguments: Sequence[TypeAdapter[object]]
    result: TypeAdapter[object] | None
    rejects: tuple[type[Exception], ...]
    final: bool


@record
class LocalExchange:
    """A call of a function in this process; its context is a copy of its own (see `Exchange`)."""

    way: Way
    attempt: RunAttempt
    limits: Limits

    @property
    def blocks(self) -> bool:
        return not self.way.function.is_coroutine

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
        if isinstance(error, self.way.rejects):
            return Failed(problem_of(error, ProblemKind.REJECTED), final=self.way.final)
        return Failed(problem_of(error, ProblemKind.ERROR))

    def _values(self) -> list[object] | Failed:
        """Return the arguments, decoded anew: no attempt sees what another did to its own."""
        absent, recorded = self.attempt.absent, self.attempt.arguments
        try:
            return [
                None if absent >> place & 1 else decode(adapter, recorded[place])
                for place, adapter in enumerate(self.way.arguments)
            ]
        except Exception as error:  # noqa: BLE001 - and never a rejection, even where rejects= names its class
            return Failed(problem_of(error, ProblemKind.ERROR))

    def _called(self, values: Sequence[object]) -> object:
        function = self.way.function
        if not function.takes_attempt:
            enter(self.attempt)
            return function.function(*values)
        enter(attempt := Attempt.of(self.attempt))
        return function.function(*values, attempt=attempt)

    def _answer(self, returned: object) -> Succeeded | Failed:
        """Return the result as JSON; what can't be recorded is no success, and no rejection either."""
        result = self.way.result
        if result is None:
            return Succeeded(None)
        what = f"the result of {self.attempt.step!r}"
        try:
            value = encode(
                result,
                returned,
                what=what,
                max_payload=self.limits.max_payload,
                max_depth=self.limits.max_depth,
            )
        except PayloadTooLarge as error:
            return Failed(problem_of(error, ProblemKind.TOO_LARGE))
        except Exception as error:  # noqa: BLE001 - a user's serializer may raise anything
            return Failed(problem_of(error, ProblemKind.ERROR))
        return Succeeded(value)


class LocalTransport:
    """Calls the functions that a saga's bindings name; see `Transport`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._ways: dict[tuple[int, str, Op], Way] = {}  # by the bindings' identity: each way holds its own

    def call(self, attempt: RunAttempt, bindings: SagaBindings) -> LocalExchange:
        """Return the attempt's own call, of the action or the compensation."""
        key = (id(bindings), attempt.step, attempt.op)
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = _way_of(attempt, bindings)
        return LocalExchange(way, attempt, self._limits)

    def probe(self, attempt: RunAttempt, bindings: SagaBindings) -> LocalExchange | None:
        """Return the call of the step's probe, if it has one: the input, and the attempt it asks about."""
        step = bindings.steps[attempt.step]
        if attempt.op != "action" or step.probe is None:
            return None
        rejects: tuple[type[Exception], ...] = (Rejected, *step.rejects)
        way = Way(bindings, step.probe, [bindings.input], step.result, rejects, final=False)
        return LocalExchange(way, attempt, self._limits)


def _way_of(attempt: RunAttempt, bindings: SagaBindings) -> Way:
    step = bindings.steps[attempt.step]
    if attempt.op == "action":
        adapters = [bindings.input, *map(bindings.adapter, step.needs)]
        return Way(bindings, step.action, adapters, step.result, (Rejected, *step.rejects), final=True)
    if step.compensation is None:
        raise DefinitionError(
            "has no compensation to run", where=f"{bindings.definition.name}.{attempt.step}"
        )
    return Way(bindings, step.compensation, [bindings.input, step.result], None, (), final=True)
