"""A saga's start: from what a caller gives to what the process manager is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from pydantic import JsonValue

from saga_es.authoring.bindings import SagaBindings, name_of
from saga_es.authoring.codec import encode_given
from saga_es.model.commands import StartSaga
from saga_es.model.defaults import Defaults
from saga_es.model.definition import SagaDefinition
from saga_es.model.keys import check_saga_id
from saga_es.runtime.asking import Asking
from saga_es.runtime.live import Ended
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.watchers import Watchers

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


def start_of(
    saga: object,
    value: object,
    saga_id: object,
    *,
    registry: Registry,
    settings: Settings,
    new_id: Callable[[SagaDefinition], object],
) -> Start:
    """Return what is to be begun, its id made if there is none, or raise what is wrong.

    Raises:
        UnknownDefinition, InvalidInput, PayloadTooLarge: see ``SagaEngine.start``.
    """
    # What a caller gives is an object: compiled code would refuse a str that is none, before anybody can say why.
    name, version = name_of(saga)
    bindings = registry.find(name, version)
    if saga_id is None:
        saga_id = new_id(bindings.definition)
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


class Starts:
    """Begins sagas for an engine.

    Args:
        new_id: makes an id for a saga of this definition that is started without one.
    """

    def __init__(
        self,
        asking: Asking,
        watchers: Watchers,
        registry: Registry,
        settings: Settings,
        new_id: Callable[[SagaDefinition], object],
    ) -> None:
        self._asking, self._watchers = asking, watchers
        self._registry, self._settings, self._new_id = registry, settings, new_id

    def checked(self, saga: object, value: object, saga_id: object) -> Start:
        """Return what is to be begun; see ``start_of``."""
        return start_of(
            saga, value, saga_id, registry=self._registry, settings=self._settings, new_id=self._new_id
        )

    def begin(self, start: Start) -> asyncio.Future[None]:
        """Begin a saga whose plan is recorded; the future is done once its start is durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ask(start, future, partial(future.set_result, None))
        return future

    def run(self, start: Start) -> asyncio.Future[Ended]:
        """Do the same; the future is done once it has ended, and nobody is woken in between."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._ask(start, future, partial(self._watchers.watch, start.saga_id, future))
        return future

    def _ask(self, start: Start, future: asyncio.Future[R], then: Callable[[], object]) -> None:
        self._asking.submit(
            start.saga_id, start.make, future, then, definition=start.definition, bindings=start.bindings
        )
