from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime

from saga_es.authoring.bindings import SagaBindings
from saga_es.model.base import record
from saga_es.model.commands import Command, RecordOutcome
from saga_es.model.defaults import Defaults
from saga_es.model.definition import SagaDefinition
from saga_es.model.effects import RunAttempt
from saga_es.model.events import Op
from saga_es.model.masks import added, without
from saga_es.model.react import Handed
from saga_es.model.standing import is_open
from saga_es.model.state import SagaState
from saga_es.runtime.dispatcher import Report
from saga_es.runtime.timers import Timer
from saga_es.store.shards import Shard

MakeCommand = Callable[..., Command]
"""A command but for the moment: called with ``at``, ``room``, ``jitter`` and ``defaults`` when it is decided."""


class Ask:
    """Something asked of a saga.

    Attributes:
        done: told ``None`` once what it caused is durable, or the error; ``None`` where nobody waits.
        definition: the plan to begin with, for a start.
        bindings: its callables.
        in_turn: the saga has waited for a place, and it is its turn.
        claim: the inbox's row that asks for it.
    """

    __slots__ = ("bindings", "claim", "definition", "done", "in_turn", "make")

    def __init__(
        self,
        make: MakeCommand,
        done: Callable[[Exception | None], None] | None = None,
        definition: SagaDefinition | None = None,
        bindings: SagaBindings | None = None,
        *,
        in_turn: bool = False,
        claim: int | None = None,
    ) -> None:
        self.make, self.done, self.definition, self.bindings = make, done, definition, bindings
        self.in_turn, self.claim = in_turn, claim


Asked = Ask | Report
"""Also an attempt's answer asks something of its saga: to be recorded."""


@record
class Ended:
    """What waits for an outcome gets: how the saga stands at its end, and how to read its results."""

    state: SagaState
    bindings: SagaBindings | None


class Live:
    """A saga in the process manager's hands.

    Attributes:
        state: as recorded; ``None`` until it is loaded.
        busy: an append or a load is under way; what is asked meanwhile gathers in ``asks``.
        late: asks that came while it was being read, to be decided on what is read after that.
        handed: the attempts in hand, by node.
        numbers: of these: (op, node) to (round, number).
        loading: the last load; it may be done.
        newest: the version that the log was seen to have since the saga was last read, or 0.
        reissued: attempts that were begun before this engine held the saga, and are made again, each by its
            ``attempt_id``.
        shard: where its definition is known, and several engines share the store.
        incompatible: why nothing here can run it, or ``None``.
        is_stale: another engine may have moved it on, and left attempts in flight.
    """

    __slots__ = (
        "_is_shared", "asks", "bindings", "busy", "definition", "handed", "incompatible", "is_stale", "late", "loading",
        "newest", "numbers", "reissued", "saga_id", "shard", "started_at", "state", "timer", "timer_due", "waiters",
    )  # fmt: skip

    def __init__(self, saga_id: str, *, is_shared: bool) -> None:
        self.saga_id, self._is_shared = saga_id, is_shared
        self.state: SagaState | None = None
        self.definition: SagaDefinition | None = None
        self.bindings: SagaBindings | None = None
        self.incompatible: str | None = None
        self.started_at: datetime | None = None
        self.asks: list[Asked] = []
        self.late: list[Asked] | tuple[()] = ()
        self.busy = self.is_stale = False
        self.loading: asyncio.Task[None] | None = None
        self.newest = 0
        self.handed = Handed()
        self.numbers: dict[tuple[Op, int], tuple[int, int]] = {}
        self.shard: Shard | None = None
        self.reissued: Collection[tuple[str, str, int, int]] = ()
        self.waiters: set[asyncio.Future[Ended]] = set()
        self.timer: Timer | None = None
        self.timer_due: datetime | None = None

    def set_timer(self, timer: Timer | None, due: datetime | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer, self.timer_due = timer, due

    def define(self, definition: SagaDefinition, bindings: SagaBindings | None) -> None:
        """Note what saga this is, and what can run it."""
        self.definition, self.bindings = definition, bindings
        if self._is_shared:
            self.shard = Shard.of(definition, self.saga_id)

    def is_reissued(self, attempt: RunAttempt | Report) -> bool:
        return bool(self.reissued) and attempt_id(attempt) in self.reissued

    def put_off(self, ask: Asked) -> None:
        """Keep something that is asked until the saga has been read."""
        if isinstance(self.late, list):
            self.late.append(ask)
        else:
            self.late = [ask]

    @property
    def held(self) -> int:
        """How many attempts are in hand."""
        return len(self.numbers)

    def hand_out(self, attempt: RunAttempt, index: int) -> None:
        """Note that an attempt of a node is in hand until its answer is recorded."""
        self.numbers[attempt.op, index] = attempt.round, attempt.number
        if attempt.op == "action":
            self.handed.actions = added(self.handed.actions, index)
        else:
            self.handed.undos = added(self.handed.undos, index)

    def take_back(self, report: Report, index: int) -> None:
        """Note that an attempt's answer is recorded; a late one may be of an attempt before the one in hand."""
        if self.numbers.get((report.op, index)) != (report.round, report.number):
            return
        del self.numbers[report.op, index]
        if report.op == "action":
            self.handed.actions = without(self.handed.actions, index)
        else:
            self.handed.undos = without(self.handed.undos, index)

    def lose(self) -> None:
        """Another engine moves it on from here: nothing of it is in hand."""
        self.set_timer(None, None)
        self.forget_answers()
        self.handed = Handed()
        self.numbers.clear()
        self.reissued = ()

    def forget_answers(self) -> None:
        """Drop what was asked by answers and by the time: that is its owner's to decide on."""
        self.asks = [ask for ask in self.asks if ask.done is not None]

    def refuse(self, error: Exception) -> None:
        """Answer everything that is asked, and everybody who waits, with an error."""
        asks, self.asks, self.late = [*self.asks, *self.late], [], ()
        for ask in asks:
            if ask.done is not None:
                ask.done(error)
        self.answer_waiters(error)

    def answer_waiters(self, answer: Ended | Exception) -> None:
        """Tell whoever waits for the end."""
        for waiter in tuple(self.waiters):
            if waiter.done():
                continue
            if isinstance(answer, Ended):
                waiter.set_result(answer)
            else:
                waiter.set_exception(answer)
        self.waiters.clear()

    @property
    def set_aside(self) -> str | None:
        """What the index shows in place of a reason to be parked, where nothing here can run it."""
        return None if self.incompatible is None else f"incompatible: {self.incompatible}"

    @property
    def version(self) -> int:
        return 0 if self.state is None else self.state.fold.version

    @property
    def is_idle(self) -> bool:
        """Whether it can be forgotten: ended, and nothing is asked, awaited or in flight."""
        state = self.state
        if state is None or self.busy or self.asks or self.late or self.waiters:
            return False
        return not is_open(state.fold) and not self.held


def attempt_id(attempt: RunAttempt | Report) -> tuple[str, str, int, int]:
    """Return which of a saga's attempts this is: step, op, round, number."""
    return attempt.step, attempt.op, attempt.round, attempt.number


def outcome(
    live: Live, report: Report, *, at: datetime, room: int, jitter: float, defaults: Defaults
) -> RecordOutcome:
    """Return the command that records an attempt's answer; made in its turn, on what is known of the saga then."""
    return RecordOutcome(
        step=report.step,
        op=report.op,
        round=report.round,
        attempt=report.number,
        outcome=report.outcome,
        reissued=live.is_reissued(report),
        probed=report.probed,
        at=at,
        room=room,
        jitter=jitter,
        defaults=defaults,
    )
