"""A saga's start: from what a caller gives to what the process manager is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from pydantic import JsonValue

from saga_es.authoring.bindings import SagaBindings, name_of
from saga_es.authoring.codec import encode_given
from saga_es.model.commands import StartSaga
from saga_es.model.defaults import Defaults
from saga_es.model.definition import SagaDefinition
from saga_es.model.keys import check_saga_id
from saga_es.model.times import later
from saga_es.runtime.live import Ask, Ended, MakeCommand
from saga_es.runtime.patience import Verdict
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.timers import Timers

R = TypeVar("R")


class Start:
    """A saga that may be begun: its id and its input are what they have to be.

    Attributes:
        value: its input, as it is recorded.
    """

    __slots__ = ("bindings", "saga_id", "value")

    def __init__(self, saga_id: str, bindings: SagaBindings, value: JsonValue) -> None:
        self.saga_id, self.bindings, self.value = saga_id, bindings, value

    @property
    def definition(self) -> SagaDefinition:
        return self.bindings.definition

    def make(self, *, at: datetime, room: int, jitter: float, defaults: Defaults) -> StartSaga:
        """Return the command, in its turn."""
        name = self.bindings.definition.name
        return StartSaga(
            at=at, room=room, jitter=jitter, defaults=defaults, input=self.value, definition=name
        )


def checked(saga_id: str, bindings: SagaBindings, value: object, settings: Settings) -> Start:
    """Return what is to be begun, or raise InvalidInput or PayloadTooLarge."""
    return Start(
        check_saga_id(saga_id),
        bindings,
        encode_given(
            bindings.input,
            value,
            what=f"the input of saga {bindings.definition.name!r}",
            max_payload=settings.max_payload,
            max_depth=settings.max_depth,
        ),
    )


class Asking:
    """Puts what is asked of sagas to the process manager, each with the time it may take to be recorded.

    Args:
        not_recorded: makes the error of what took longer.
    """

    def __init__(
        self,
        manager: ProcessManager,
        timers: Timers,
        patience: timedelta,
        not_recorded: Callable[[str, timedelta], Exception],
    ) -> None:
        self._manager, self._timers, self._patience = manager, timers, patience
        self._not_recorded = not_recorded

    def submit(
        self,
        saga_id: str,
        make: MakeCommand,
        future: asyncio.Future[R],
        then: Callable[[], object],
        start: Start | None = None,
    ) -> None:
        """Ask for a command; ``then`` is called once what it causes is durable, else ``future`` says why not."""
        end = later(self._timers.now(), self._patience)
        late = partial(self._not_recorded, saga_id, self._patience)
        done = Verdict(self._timers, future, end, late=late, then=then)
        ask = Ask(make, done) if start is None else Ask(make, done, start.definition, start.bindings)
        self._manager.submit(saga_id, ask)


class Starts:
    """Begins sagas for an engine.

    Args:
        new_id: makes an id for a saga of this definition that is started without one.
    """

    def __init__(
        self,
        manager: ProcessManager,
        asking: Asking,
        registry: Registry,
        settings: Settings,
        new_id: Callable[[SagaDefinition], str],
    ) -> None:
        self._manager, self._asking = manager, asking
        self._registry, self._settings, self._new_id = registry, settings, new_id

    def checked(self, saga: Any, value: object, saga_id: str | None) -> Start:  # Any: whatever a caller gives
        """Return what is to be begun; raises UnknownDefinition, InvalidInput or PayloadTooLarge."""
        name, version = name_of(saga)
        bindings = self._registry.find(name, version)
        if saga_id is None:
            saga_id = self._new_id(bindings.definition)
        return checked(saga_id, bindings, value, self._settings)

    def begin(self, start: Start) -> asyncio.Future[None]:
        """Begin a saga whose plan is recorded; the future is done once its start is durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.submit(start.saga_id, start.make, future, partial(future.set_result, None), start)
        return future

    def run(self, start: Start) -> asyncio.Future[Ended]:
        """Do the same; the future is done once it has ended, and nobody is woken in between."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        watch = partial(self._manager.watchers.watch, start.saga_id, future)
        self._asking.submit(start.saga_id, start.make, future, watch, start)
        return future
