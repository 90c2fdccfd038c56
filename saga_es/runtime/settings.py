from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from saga_es.model.base import Frozen
from saga_es.model.defaults import Defaults
from saga_es.model.definition import PositiveDelta, Retry


class Settings(Frozen):
    """How an engine or client works; every limit can be raised.

    Attributes:
        max_in_flight: attempts that may be in flight at once, in the whole engine.
        max_in_flight_per_saga: the same for one saga.
        step_timeout: for steps and compensations that name none; ``None`` waits for ever.
        compensation_retry: for compensations, and for steps after the pivot, that name no ``retry``.
        lease: how long a silent engine keeps its sagas where several share a store.
        drain: how long leaving the engine waits for what is in flight.
        store_timeout: how long ``start``, ``signal`` and the like wait for a store that does not answer.
        max_payload: bytes of one input, result or payload as UTF-8 JSON.
        max_depth: levels of lists and objects in one.
        migrate: whether entering makes or upgrades the tables; by default SQLite yes, PostgreSQL no.
        poll: how often the store is asked whether other processes wrote.
        thread_switch: how soon another thread of the process has its turn while the loop is busy: the interpreter's
            switch interval while an engine is entered, where that is longer. ``None`` leaves it as it is.
        gc_threshold: how many new containers the garbage collector waits for before it looks at them, while an engine
            is entered, where it waits for fewer. ``None`` leaves it as it is.
    """

    max_in_flight: Annotated[int, Field(ge=1)] = 1024
    max_in_flight_per_saga: Annotated[int, Field(ge=1)] = 64
    step_timeout: PositiveDelta | None = timedelta(minutes=5)
    compensation_retry: Retry = Retry(attempts=10)
    lease: PositiveDelta = timedelta(seconds=15)
    drain: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(seconds=10)
    store_timeout: PositiveDelta = timedelta(seconds=30)
    max_payload: Annotated[int, Field(ge=1)] = 256 * 1024
    max_depth: Annotated[int, Field(ge=1)] = 64
    migrate: bool | None = None
    poll: PositiveDelta = timedelta(milliseconds=50)
    thread_switch: PositiveDelta | None = timedelta(microseconds=800)
    gc_threshold: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = 10_000

    def defaults(self) -> Defaults:
        """Return the policies that a plan may leave open, as commands carry them."""
        return Defaults(step_timeout=self.step_timeout, compensation_retry=self.compensation_retry)
