"""What gathered for one saga is decided together, each on top of the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from saga_es.errors import SagaError
from saga_es.model.commands import Command
from saga_es.model.decide import Decider
from saga_es.model.defaults import Defaults
from saga_es.model.events import Event
from saga_es.model.fold import Fold
from saga_es.model.masks import has
from saga_es.model.state import SagaState
from saga_es.runtime.clock import Clock
from saga_es.runtime.dispatcher import Report
from saga_es.runtime.live import Asked, Live, outcome
from saga_es.runtime.ownership import Ownership
from saga_es.runtime.places import Places
from saga_es.runtime.recording import make_append
from saga_es.store.append import Append
from saga_es.store.port import Store


class Turn:
    """What one saga's gathered asks came to.

    Attributes:
        verdicts: of each ask, ``None`` or why it was refused.
        state: once the events are recorded.
        at: when it was decided.
        dispatched: how many attempts it begins; they hold reserved places until it is recorded.
        claims: rows of the inbox that are done with once it is recorded.
    """

    __slots__ = ("asks", "at", "claims", "dispatched", "events", "state", "verdicts")

    def __init__(self, asks: Sequence[Asked], state: SagaState, at: datetime) -> None:
        self.asks, self.state, self.at = asks, state, at
        self.verdicts: list[Exception | None] = []
        self.events: Sequence[Event] = ()
        self.dispatched = 0
        self.claims: tuple[int, ...] = ()

    def refuse(self, error: Exception) -> None:
        """Nothing of it is recorded."""
        self.verdicts = [error] * len(self.asks)


class Turns:
    """Decides turns, with the time, chance and room of the moment.

    Args:
        defaults: the engine's policies for what a plan leaves open.
        chance: in [0, 1), for the jitter of retries.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        places: Places,
        ownership: Ownership,
        defaults: Defaults,
        chance: Callable[[], float],
    ) -> None:
        self._store, self._clock, self._places, self._ownership = store, clock, places, ownership
        self._defaults, self._chance = defaults, chance

    def take(self, live: Live) -> Turn | None:
        """Decide what was asked of a saga; ``None`` where it is not known yet what saga that is.

        Raises:
            Exception: an answer, or the passing of time, could not be decided on; the asks are as they were.
        """
        asks = live.asks
        if live.state is None:
            first = asks[0]
            if first.definition is None:  # known only from asks of an unknown saga; the load has settled that
                return None
            live.define(first.definition, first.bindings)
            live.state = SagaState.unborn(first.definition, live.saga_id)
        assert live.definition is not None  # noqa: S101 - set with the state
        decider = Decider(live.definition, live.state)
        turn = Turn(asks, live.state, self._clock.now())
        may_begin = live.bindings is not None and self._ownership.may_begin(live.shard)
        free = self._places.free if may_begin else 0
        for ask in asks:
            turn.verdicts.append(self._decide(live, decider, turn, ask, free))
        live.asks = []
        self._places.reserved += turn.dispatched
        turn.events, turn.state = decider.events, decider.state
        return turn

    def _decide(self, live: Live, decider: Decider, turn: Turn, ask: Asked, free: int) -> Exception | None:
        answered = int(isinstance(ask, Report) and _is_awaited(decider.fold, ask))
        room = self._places.room(decider.fold, free - turn.dispatched, in_turn=ask.in_turn, answered=answered)
        try:
            begun = decider.decide(self._command(live, turn, ask, room))
        except SagaError as error:
            return error
        except Exception as error:
            if ask.done is None:  # nobody would be told
                raise
            return error
        turn.dispatched += begun
        if ask.claim is not None:
            turn.claims = (*turn.claims, ask.claim)
        return None

    def _command(self, live: Live, turn: Turn, ask: Asked, room: int) -> Command:
        chance, defaults = self._chance(), self._defaults
        if isinstance(ask, Report):
            return outcome(live, ask, at=turn.at, room=room, jitter=chance, defaults=defaults)
        return ask.make(at=turn.at, room=room, jitter=chance, defaults=defaults)

    def append_of(self, live: Live, turn: Turn) -> Append:
        """Return the append of a turn's events; raises what their encoding does."""
        assert live.state is not None  # noqa: S101 - a turn has one
        shard = live.shard
        return make_append(
            self._store,
            live.state,
            turn.state,
            turn.events,
            at=turn.at,
            started_at=live.started_at,
            aside=live.set_aside if self._ownership.holds(shard) else None,
            metadata=self._ownership.metadata(shard),
            shard=shard,
            epoch=self._ownership.epoch(shard),
            claims=turn.claims,
        )

    def end(self, turn: Turn) -> None:
        """Its appends are recorded, or refused: its attempts hold places of their own, or none."""
        self._places.reserved -= turn.dispatched


def _is_awaited(fold: Fold, report: Report) -> bool:
    """Whether a report is of the attempt that its step has in flight, and so leaves room for another."""
    index = fold.plan.steps.get(report.step)
    if index is None:  # deciding says so
        return False
    node = fold.nodes[index]
    if report.op == "action":
        return has(fold.open_actions, index) and node.attempts == report.number
    is_current = (node.round, node.undo_attempts) == (report.round, report.number)
    return has(fold.open_undos, index) and is_current
