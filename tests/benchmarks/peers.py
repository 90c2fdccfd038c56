"""The hand-written peer: an aggregate of `eventsourcing`, as its documentation writes one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

STEPS = ("book_plane", "book_hotel", "buy_tickets")
Result = Mapping[str, Any]  # Any: eventsourcing's transcoder takes JSON values


class HandWrittenTrip(Aggregate):
    """The same facts as the saga's log; no definition, no dispatch, no checks."""

    @event("Started")
    def __init__(self, customer: str, nights: int) -> None:
        self.customer, self.nights = customer, nights
        self.status = "running"
        self.dispatched: dict[str, int] = {}
        self.results: dict[str, Result] = {}
        self.undone: set[str] = set()
        self.problem = ""

    @event("Dispatched")
    def dispatch(self, step: str, attempt: int, key: str, deadline: str) -> None:
        self.dispatched[step] = attempt

    @event("Succeeded")
    def succeed(self, step: str, attempt: int, result: Result) -> None:
        self.results[step] = result

    @event("Rejected")
    def reject(self, step: str, attempt: int, problem: str) -> None:
        self.problem = problem

    @event("Compensating")
    def turn_round(self, cause: str) -> None:
        self.status = "compensating"

    @event("UndoDispatched")
    def dispatch_undo(self, step: str, attempt: int, key: str, deadline: str) -> None:
        self.dispatched[step] = attempt

    @event("Undone")
    def undo(self, step: str, attempt: int) -> None:
        self.undone.add(step)

    @event("Ended")
    def end(self, status: str) -> None:
        self.status = status


class HandWritten:
    """`eventsourcing`'s own application and stock recorder; its tables are made by itself.

    Args:
        intents: whether a step's dispatch is recorded before its outcome, as in a saga's log; without it the
            aggregate has its least: one event per step (which can't tell after a crash what was begun).
    """

    def __init__(self, env: Mapping[str, str], case: str, *, intents: bool = True) -> None:
        self._app: Application[UUID] = Application(dict(env))
        self._case, self._intents = case, intents

    def record(self) -> UUID:
        """Record one trip from its start to its end."""
        trip = HandWrittenTrip(customer="Maria", nights=7)
        app, when = self._app, "2026-11-24T05:00:00.123456Z"
        app.save(trip)
        for name in STEPS if self._intents else ():
            trip.dispatch(step=name, attempt=1, key=f"{trip.id}/{name}/action/1", deadline=when)
            app.save(trip)
        for name in STEPS:
            if self._case == "failing" and name == "book_hotel":
                trip.reject(step=name, attempt=1, problem="no available hotel rooms")
            else:
                trip.succeed(step=name, attempt=1, result={"number": "LIS-GIG"})
            app.save(trip)
        if self._case == "failing":
            self._turn_round(trip, when)
        trip.end(status="succeeded" if self._case == "happy" else "failed")
        app.save(trip)
        return trip.id

    def _turn_round(self, trip: HandWrittenTrip, when: str) -> None:
        app, done = self._app, ("book_plane", "buy_tickets")
        trip.turn_round(cause="no available hotel rooms")
        app.save(trip)
        for name in done if self._intents else ():
            trip.dispatch_undo(step=name, attempt=1, key=f"{trip.id}/{name}/compensation/1", deadline=when)
            app.save(trip)
        for name in done:
            trip.undo(step=name, attempt=1)
            app.save(trip)

    def record_long(self, events: int) -> UUID:
        """Record one aggregate of so many events, saved at once."""
        trip = HandWrittenTrip(customer="Maria", nights=7)
        for number in itertools.islice(itertools.count(), events - 1):
            name = f"step_{number // 2}"
            if number % 2:
                trip.succeed(step=name, attempt=1, result={"number": f"{number:05d}"})
            else:
                key = f"{trip.id}/{name}/action/1"
                trip.dispatch(step=name, attempt=1, key=key, deadline="2026-11-24T05:00:00.123456Z")
        self._app.save(trip)
        return trip.id

    def events_of(self, trip_id: UUID) -> int:
        """Read the aggregate back through the repository, and return its version."""
        return self._app.repository.get(trip_id).version

    def stored(self, trip_id: UUID) -> int:
        """Return how many bytes of payload its events have."""
        return sum(len(event.state) for event in self._app.recorder.select_events(trip_id))

    def close(self) -> None:
        self._app.close()
