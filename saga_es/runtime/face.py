"""What an engine and a client have in common: the verbs, each a command on one saga."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from functools import partial
from typing import TypeVar, overload

from pydantic import JsonValue, TypeAdapter

from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.codec import encode_given
from saga_es.authoring.step import Signal
from saga_es.errors import InvalidInput, UnknownSaga, UnknownSignal, UnknownStep
from saga_es.history import History
from saga_es.model.commands import (
    CancelSaga,
    DeliverSignal,
    ForceCompensated,
    PauseSaga,
    RepairCommand,
    ResumeSaga,
    RetryStep,
    SkipStep,
    SupplyRejection,
    SupplyResult,
)
from saga_es.model.keys import check_saga_id
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.summary import Page
from saga_es.runtime.live import MakeCommand
from saga_es.runtime.loading import Loader
from saga_es.runtime.patience import Patience
from saga_es.runtime.start_in import StartsIn
from saga_es.store.port import Store

R = TypeVar("R")
ANYTHING: TypeAdapter[object] = TypeAdapter(object)
WORDS: TypeAdapter[object] = TypeAdapter(str)


class Face(StartsIn, ABC):
    """The verbs; ``SagaEngine`` and ``SagaClient`` say how a command gets into the log."""

    @abstractmethod
    async def _ask(self, saga_id: str, make: MakeCommand) -> None:
        """Decide a command on a saga that exists, and return once what it causes is durable."""

    @abstractmethod
    async def _bindings(self, saga_id: str) -> SagaBindings | None:
        """Return what reads and writes the saga's values, or ``None`` where its code is not at hand."""

    @property
    @abstractmethod
    def _open(self) -> tuple[Store, Loader, Patience]:
        """The store, its reader and how long it is waited for, or EngineClosed."""

    # -- signals and cancel --------------------------------------------------------------------------

    @overload
    async def signal(self, saga_id: str, signal: Signal[R], payload: R) -> None: ...
    @overload
    async def signal(self, saga_id: str, signal: str, payload: object) -> None: ...
    async def signal(self, saga_id: str, signal: Signal[R] | str, payload: object) -> None:
        """Tell a saga what it waits for, or will; the same payload again appends nothing.

        Raises:
            UnknownSaga, UnknownSignal: there is none of this id, or name.
            SignalConflict: it was received with another payload.
            IllegalTransition: the saga is on its way back.
            SagaAlreadyEnded: it has ended.
            InvalidInput, PayloadTooLarge: the payload does not fit.
        """
        name = signal if isinstance(signal, str) else getattr(signal, "name", None)
        if not isinstance(name, str):
            raise InvalidInput(
                "signal", problem=f"{signal!r}; it has to be a signal of the saga, or the name of one"
            )
        bindings = await self._bindings(check_saga_id(saga_id))
        adapter = ANYTHING
        if bindings is not None:
            if name not in bindings.signals:
                raise UnknownSignal(name, saga_id=saga_id, known=bindings.signals)
            adapter = bindings.signals[name]
        value = self._encoded(adapter, payload, what=f"the payload of signal {name!r}")
        await self._ask(saga_id, partial(DeliverSignal, signal=name, payload=value))

    async def cancel(self, saga_id: str, *, by: str, reason: str) -> None:
        """Ask a saga to turn round: what is in flight finishes, then what was done is compensated.

        Raises:
            UnknownSaga: there is none of this id.
            PastPivot: its pivot was dispatched; from there it only goes forward.
            SagaAlreadyEnded: it has ended.
        """
        by, reason = self._said(by, reason)
        await self._ask(check_saga_id(saga_id), partial(CancelSaga, by=by, reason=reason))

    async def pause(self, saga_id: str, *, by: str, reason: str) -> None:
        """Dispatch nothing more of a saga, either way, until ``resume``; answers are still recorded."""
        by, reason = self._said(by, reason)
        await self._ask(check_saga_id(saga_id), partial(PauseSaga, by=by, reason=reason))

    async def resume(self, saga_id: str, *, by: str, reason: str) -> None:
        """Let a paused saga go on."""
        by, reason = self._said(by, reason)
        await self._ask(check_saga_id(saga_id), partial(ResumeSaga, by=by, reason=reason))

    # -- operator repair -----------------------------------------------------------------------------

    async def retry(self, saga_id: str, step: object, *, by: str, reason: str) -> None:
        """Bring a waiting retry forward, or try anew what the saga is parked on, with the budget renewed."""
        await self._repair(saga_id, step, RetryStep, by=by, reason=reason)

    async def supply_result(
        self, saga_id: str, step: object, result: object, *, by: str, reason: str
    ) -> None:
        """Say what a step's result is; it counts, and is compensated, like one of its own.

        Raises:
            InvalidInput: the result does not fit the step's annotation.
            IllegalTransition: the step is in flight, or settled otherwise.
        """
        by, reason = self._said(by, reason)
        name = step_name(step)
        bindings = await self._bindings(check_saga_id(saga_id))
        adapter = ANYTHING
        if bindings is not None:
            if name not in bindings.steps:
                raise UnknownStep(name, saga_id=saga_id, known=bindings.steps)
            adapter = bindings.steps[name].result
        value = self._encoded(adapter, result, what=f"the result of step {name!r}")
        await self._ask(saga_id, partial(SupplyResult, step=name, result=value, by=by, reason=reason))

    async def supply_rejection(self, saga_id: str, step: object, *, by: str, reason: str) -> None:
        """Say that a step's effect did not happen."""
        await self._repair(saga_id, step, SupplyRejection, by=by, reason=reason)

    async def skip(self, saga_id: str, step: object, *, by: str, reason: str) -> None:
        """Go on without a step; later steps get ``None`` for its result, where they accept it."""
        await self._repair(saga_id, step, SkipStep, by=by, reason=reason)

    async def force_compensated(self, saga_id: str, step: object, *, by: str, reason: str) -> None:
        """Take a compensation for done: somebody undid the step by other means."""
        await self._repair(saga_id, step, ForceCompensated, by=by, reason=reason)

    async def _repair(
        self, saga_id: str, step: object, command: type[RepairCommand], *, by: str, reason: str
    ) -> None:
        by, reason = self._said(by, reason)
        await self._ask(check_saga_id(saga_id), partial(command, step=step_name(step), by=by, reason=reason))

    # -- reading -------------------------------------------------------------------------------------

    async def history(self, saga_id: str) -> History:
        """Return all that is recorded of a saga, or raise UnknownSaga."""
        store, loader, patience = self._open
        check_saga_id(saga_id)
        reading = partial(read_history, store, loader, saga_id)
        return await patience.ask(lambda: loader.read(reading), f"reading saga {saga_id!r}")

    async def find(
        self,
        *,
        status: SagaStatus | str | None = None,
        definition: str | None = None,
        parked: bool | None = None,
        started_before: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Return one page of the index of sagas, the newest first; ``page.next`` goes into ``after``.

        Raises:
            InvalidInput: a limit under one, a status that there is not, an instant without a time zone, or an
                ``after`` that no page gave.
        """
        store, loader, patience = self._open
        wanted = None if status is None else _status(status)
        finding = partial(
            store.find,
            status=wanted,
            definition=definition,
            parked=parked,
            started_before=started_before,
            limit=limit,
            after=after,
        )
        return await patience.ask(lambda: loader.read(finding), "reading the index")

    # -- values --------------------------------------------------------------------------------------

    def _said(self, by: str, reason: str) -> tuple[str, str]:
        """Return who asks and why, or raise InvalidInput or PayloadTooLarge: it is going to be recorded."""
        return str(self._encoded(WORDS, by, what="by")), str(self._encoded(WORDS, reason, what="reason"))

    def _encoded(self, adapter: TypeAdapter[object], value: object, *, what: str) -> JsonValue:
        settings = self._settings
        return encode_given(
            adapter, value, what=what, max_payload=settings.max_payload, max_depth=settings.max_depth
        )


def read_history(store: Store, loader: Loader, saga_id: str) -> History:
    """Return a saga's history; blocking."""
    events = store.read(saga_id)
    if not events:
        raise UnknownSaga(saga_id)
    return History.of(saga_id, loader.plan_of(saga_id, events[0]), events)


def _status(status: SagaStatus | str) -> SagaStatus:
    try:
        return SagaStatus(status)
    except ValueError:
        known = ", ".join(SagaStatus)
        raise InvalidInput("status", problem=f"{status!r}; a saga's status is one of {known}") from None


def step_name(step: object) -> str:
    """Return a step's name: of a step of a saga's class, of a plain function, or the name itself."""
    if isinstance(step, str):
        return step
    return str(getattr(step, "name", None) or getattr(step, "__name__", step))
