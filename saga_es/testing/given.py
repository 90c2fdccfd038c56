"""Given these events, when this is asked, then that happens: a saga's decisions tested with no asyncio.

A bug report is a list of events: paste it into ``given(...)``, ask what went wrong, and the failure is a
test that takes a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import ndiff
from typing import Final

from saga_es.errors import SagaError
from saga_es.model.commands import Command
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.effects import Effect
from saga_es.model.events import Event, Recorded
from saga_es.model.react import react
from saga_es.model.state import SagaState, replay

SAGA_ID: Final = "saga-1"


class Given:
    """A saga with a history; made by ``given``.

    Attributes:
        events: the history so far.
        state: how the saga stands after it.
    """

    def __init__(self, definition: SagaDefinition, events: Iterable[Event | Recorded], saga_id: str) -> None:
        self.definition = definition
        self.saga_id = saga_id
        self.events = tuple(item.event if isinstance(item, Recorded) else item for item in events)
        self.state: SagaState = replay(definition, self.events, saga_id=saga_id)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All that the state asks of the world, as after a crash."""
        return react(self.definition, self.state)

    def when(self, command: Command) -> When:
        """Ask ``command`` of the saga; what came of it is told by the result's ``then`` or ``then_raises``."""
        return When(self, command)


class When:
    """What came of a command.

    Whatever is asserted of it, three things hold besides, or AssertionError is raised: the state that was
    decided from is as it was, the state that was decided equals a replay of the events, and a refusal
    comes without events.
    """

    def __init__(self, before: Given, command: Command) -> None:
        self._before, self._command = before, command
        self._error: SagaError | None = None
        self._events: tuple[Event, ...] = ()
        version = before.state.version
        try:
            decided = decide_with_state(before.definition, before.state, command)
        except SagaError as error:
            self._error = error
        else:
            self._events = decided.events
            after = replay(before.definition, (*before.events, *self._events), saga_id=before.saga_id)
            if decided.state != after:
                raise AssertionError(f"{command} led to a state that a replay of its events does not give")
        again = replay(before.definition, before.events, saga_id=before.saga_id)
        if before.state.version != version or before.state != again:
            raise AssertionError(f"{command} changed the state that it was decided from")

    @property
    def events(self) -> tuple[Event, ...]:
        """The new events; raises what the command raised."""
        if self._error is not None:
            raise self._error
        return self._events

    @property
    def state(self) -> SagaState:
        """How the saga stands afterwards; raises what the command raised."""
        return self._after().state

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All that the state afterwards asks of the world."""
        return self._after().effects

    def when(self, command: Command) -> When:
        """Ask the next command of the saga as it stands now."""
        return self._after().when(command)

    def then(self, *expected: Event) -> Given:
        """Assert that exactly these events came of it, in this order (none: it appended nothing).

        Returns:
            The saga with its longer history, to be asked the next thing.
        """
        if self.events != expected:
            raise AssertionError(_difference(self._command, expected, self.events))
        return self._after()

    def then_raises(self, error: type[SagaError], **fields: object) -> SagaError:
        """Assert that it was refused with this error, whose ``fields`` have these values.

        Returns:
            The error, for whatever else is to be asserted of it.
        """
        raised = self._error
        if raised is None:
            shown = "\n  ".join(_lines(self._events)) or "nothing"
            raise AssertionError(f"{self._command} was not refused with {error.__name__}; it gave\n  {shown}")
        if not isinstance(raised, error):
            raise AssertionError(  # noqa: TRY004 - a test's verdict, not a type check
                f"{self._command} was refused with {type(raised).__name__}, not {error.__name__}: {raised}"
            ) from raised
        for name, value in fields.items():
            found = getattr(raised, name)
            if found != value:
                raise AssertionError(
                    f"{error.__name__}.{name} is {found!r}, not {value!r}: {raised}"
                ) from raised
        return raised

    def _after(self) -> Given:
        before = self._before
        return Given(before.definition, (*before.events, *self.events), before.saga_id)


def given(definition: SagaDefinition, *events: Event | Recorded, saga_id: str = SAGA_ID) -> Given:
    """Return a saga with this history; without events, one that is not started.

    Args:
        definition: the saga's plan.
        events: bare, or as they stand in a log (``*history.events``).
        saga_id: what new events' keys begin with.

    Raises:
        IllegalTransition: the events are not a history of this definition.
    """
    return Given(definition, events, saga_id)


def _difference(command: Command, expected: Sequence[Event], found: Sequence[Event]) -> str:
    lines = ndiff(_lines(expected), _lines(found))
    return f"{command} gave other events (- expected, + found):\n  " + "\n  ".join(
        line for line in lines if not line.startswith("?")
    )


def _lines(events: Iterable[Event]) -> list[str]:
    return [repr(event) for event in events]
