"""The sagas that are crashed, the orders their calls finish in, and how they may end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import permutations

from pydantic import BaseModel

from saga_es import Attempt, Definition, Saga, define, step
from saga_es.model.lifecycle import Ending
from saga_es.testing.ledger import Ledger
from saga_es.testing.turnstile import Turnstile

DIAMOND = ("north", "east", "south", "west")


class Order(BaseModel):
    """The input: what the participants are to refuse, or to get wrong."""

    rejected: str | None = None
    lost: str | None = None  # has its effect, and fails to say so
    forgetful: str | None = None  # asked again, has forgotten that it did it, and finds nothing left
    failing_once: str | None = None  # has none at the first attempt, and says so without being believed


class Approval(BaseModel):
    by: str


class Participants:
    """The services: each call waits for its turn, writes to the ledger, then answers."""

    def __init__(self, ledger: Ledger, turnstile: Turnstile) -> None:
        self._ledger, self._turnstile = ledger, turnstile

    async def act(self, order: Order, *needed: int | Approval, attempt: Attempt) -> int:
        await self._turnstile.turn(attempt.step)
        return self._act(order, needed, attempt)

    def act_in_thread(self, order: Order, *needed: int | Approval, attempt: Attempt) -> int:
        self._turnstile.turn_in_thread(attempt.step)
        return self._act(order, needed, attempt)

    async def undo(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        await self._turnstile.turn(f"undo {attempt.step}")
        self._undo(order, place, attempt)

    def undo_in_thread(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        self._turnstile.turn_in_thread(f"undo {attempt.step}")
        self._undo(order, place, attempt)

    def _act(self, order: Order, needed: tuple[int | Approval, ...], attempt: Attempt) -> int:
        if order.rejected == attempt.step:
            raise self._ledger.refuse(attempt, f"no {attempt.step} to be had")
        if order.failing_once == attempt.step and attempt.number == 1:
            raise ConnectionError(str(self._ledger.refuse(attempt, f"{attempt.step} does not answer")))
        entries = self._ledger.entries(attempt.saga_id)
        if order.forgetful == attempt.step and any(entry.key == attempt.key for entry in entries):
            raise self._ledger.refuse(attempt, f"no {attempt.step} left")
        acted = {entry.place for entry in entries if entry.effect == "acted"}
        if not acted.issuperset(place for place in needed if isinstance(place, int)):
            raise AssertionError(f"{attempt.key} was given {needed}, of {acted}")
        place = self._ledger.act(attempt)
        if order.lost == attempt.step:
            raise ConnectionResetError(f"the answer of {attempt.step} was lost")
        return place

    def _undo(self, order: Order, place: int | None, attempt: Attempt) -> None:
        acted = {e.place for e in self._ledger.entries(attempt.saga_id) if e.key == attempt.action_key}
        if not (place is None or (place in acted and order.rejected != attempt.step)):
            raise AssertionError(f"{attempt.key} was given {place}, of {acted}")
        self._ledger.undo(attempt)


class Trip(Saga[Order], name="trip"):
    """Three steps in parallel, two of them plain functions."""

    def __init__(self, services: Participants) -> None:
        self.services = services

    @step
    def plane(self, order: Order, *, attempt: Attempt) -> int:
        return self.services.act_in_thread(order, attempt=attempt)

    @plane.compensation
    def no_plane(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        self.services.undo_in_thread(order, place, attempt=attempt)

    @step
    def hotel(self, order: Order, *, attempt: Attempt) -> int:
        return self.services.act_in_thread(order, attempt=attempt)

    @hotel.compensation
    def no_hotel(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        self.services.undo_in_thread(order, place, attempt=attempt)

    @step
    async def tickets(self, order: Order, *, attempt: Attempt) -> int:
        return await self.services.act(order, attempt=attempt)

    @tickets.compensation
    async def no_tickets(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        await self.services.undo(order, place, attempt=attempt)


def diamond(its: Participants) -> Definition[Order]:
    """Six steps: one, four in parallel, one."""
    return (
        define("diamond", Order)
        .step(its.act, undo=its.undo, name="top")
        .step(its.act, undo=its.undo, name="north", needs=("top",))
        .step(its.act, undo=its.undo, name="east", needs=("top",))
        .step(its.act, undo=its.undo, name="south", needs=("top",))
        .step(its.act, undo=its.undo, name="west", needs=("top",))
        .step(its.act, undo=its.undo, name="bottom", needs=DIAMOND)
    )


def purchase(its: Participants) -> Definition[Order]:
    """Two steps, a pivot that can be undone while its outcome is unknown, two steps that have to come about."""
    return (
        define("purchase", Order)
        .step(its.act, undo=its.undo, name="reserve")
        .step(its.act_in_thread, undo=its.undo_in_thread, name="vouch")
        .step(its.act, undo=its.undo, name="pay", needs=("reserve", "vouch"), pivot=True)
        .step(its.act, name="ship", needs=("pay",))
        .step(its.act, name="write", needs=("pay",))
    )


def final_purchase(its: Participants) -> Definition[Order]:
    """A pivot without a way back: where its outcome is unknown, somebody has to say how it stands."""
    return (
        define("final purchase", Order)
        .step(its.act, undo=its.undo, name="reserve")
        .step(its.act, undo=its.undo, name="vouch")
        .step(its.act, name="pay", needs=("reserve", "vouch"), pivot=True)
    )


def approved(its: Participants) -> Definition[Order]:
    """A step, a signal that may come before it is awaited, and a step that needs both."""
    return (
        define("approved", Order)
        .step(its.act, undo=its.undo, name="draft")
        .signal("approval", Approval, needs=("draft",), timeout=timedelta(hours=24))
        .step(its.act_in_thread, undo=its.undo_in_thread, name="publish", needs=("draft", "approval"))
    )


@dataclass(frozen=True)
class Scenario:
    """One saga, one input.

    Attributes:
        orders: scripts for the turnstile, each swept by itself; a signal's name is the turn of whoever sends it.
        ends: the endings that are allowed, wherever the process died, and the steps whose effects then stand.
        signals: what is sent, by name.
        supplied: the step that an operator declares not done, when the saga parks on it.
        after_a_crash: calls that only a crash brings about, in parallel with others; they come last.
    """

    name: str
    definition: str
    saga: Callable[[Participants], Saga[Order] | Definition[Order]]
    order: Order
    orders: tuple[tuple[str, ...], ...]
    ends: Mapping[Ending, frozenset[str]]
    signals: Mapping[str, object] = field(default_factory=dict)
    supplied: str | None = None
    after_a_crash: tuple[str, ...] = ()


def undoing(*steps: str) -> tuple[str, ...]:
    return tuple(f"undo {name}" for name in steps)


def all_of(*steps: str) -> Mapping[Ending, frozenset[str]]:
    return {Ending.SUCCEEDED: frozenset(steps)}


NOTHING = {Ending.COMPENSATED: frozenset[str]()}
FIRST, REVERSED = DIAMOND, DIAMOND[::-1]
ANN = Approval(by="ann")

SCENARIOS = (
    Scenario(
        name="trip, all is well",
        definition="trip",
        saga=Trip,
        order=Order(),
        orders=tuple(permutations(("plane", "hotel", "tickets"))),
        ends=all_of("plane", "hotel", "tickets"),
    ),
    Scenario(
        name="trip, no rooms",
        definition="trip",
        saga=Trip,
        order=Order(rejected="hotel"),
        orders=tuple(
            (*there, *back)
            for there in permutations(("plane", "hotel", "tickets"))
            for back in permutations(undoing("plane", "tickets"))
        ),
        ends=NOTHING,
        after_a_crash=undoing("hotel"),  # a rejection of a call that is made again says nothing of the first
    ),
    Scenario(
        name="trip, the last room",  # asked again after a crash, the hotel says no, although the room is ours
        definition="trip",
        saga=Trip,
        order=Order(forgetful="hotel"),
        orders=(("plane", "hotel", "tickets"), ("tickets", "hotel", "plane")),
        ends={**all_of("plane", "hotel", "tickets"), **NOTHING},
        after_a_crash=undoing("plane", "hotel", "tickets"),
    ),
    Scenario(
        name="diamond, all is well",
        definition="diamond",
        saga=diamond,
        order=Order(),
        orders=tuple(("top", *each, "bottom") for each in (FIRST, REVERSED)),
        ends=all_of("top", *DIAMOND, "bottom"),
    ),
    Scenario(
        name="diamond, its last step rejected",
        definition="diamond",
        saga=diamond,
        order=Order(rejected="bottom"),
        orders=tuple(("top", *each, "bottom", *undoing(*each), "undo top") for each in (FIRST, REVERSED)),
        ends=NOTHING,
    ),
    Scenario(
        name="pivot, what follows fails once",
        definition="purchase",
        saga=purchase,
        order=Order(failing_once="ship"),
        orders=(
            ("reserve", "vouch", "pay", "ship", "ship", "write"),
            ("vouch", "reserve", "pay", "write", "ship", "ship"),
        ),
        ends=all_of("reserve", "vouch", "pay", "ship", "write"),
    ),
    Scenario(
        name="pivot, rejected",
        definition="purchase",
        saga=purchase,
        order=Order(rejected="pay"),
        orders=(
            ("reserve", "vouch", "pay", *undoing("reserve", "vouch")),
            ("vouch", "reserve", "pay", *undoing("vouch", "reserve")),
        ),
        ends=NOTHING,
    ),
    Scenario(
        name="pivot without a way back, rejected",
        definition="final purchase",
        saga=final_purchase,
        order=Order(rejected="pay"),
        orders=(
            ("reserve", "vouch", "pay", *undoing("reserve", "vouch")),
            ("vouch", "reserve", "pay", *undoing("vouch", "reserve")),
        ),
        ends=NOTHING,
        supplied="pay",
    ),
    Scenario(
        name="signal, all is well",
        definition="approved",
        saga=approved,
        order=Order(),
        orders=(("draft", "approval", "publish"), ("approval", "draft", "publish")),
        ends=all_of("draft", "publish"),
        signals={"approval": ANN},
    ),
    Scenario(
        name="signal, the last answer lost",
        definition="approved",
        saga=approved,
        order=Order(lost="publish"),
        orders=tuple(
            (*there, "publish", "undo publish", "undo draft") for there in permutations(("draft", "approval"))
        ),
        ends=NOTHING,
        signals={"approval": ANN},
    ),
)
