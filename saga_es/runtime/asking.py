from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from saga_es.authoring.bindings import SagaBindings
from saga_es.model.definition import SagaDefinition
from saga_es.model.times import later
from saga_es.runtime.live import Ask, MakeCommand
from saga_es.runtime.patience import Verdict
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.timers import Timers

R = TypeVar("R")


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
        *,
        definition: SagaDefinition | None = None,
        bindings: SagaBindings | None = None,
    ) -> None:
        """Ask for a command; ``then`` is called once what it causes is durable, else ``future`` says why not.

        A start comes with its definition and bindings.
        """
        end = later(self._timers.now(), self._patience)
        late = partial(self._not_recorded, saga_id, self._patience)
        done = Verdict(self._timers, future, end, late=late, then=then)
        self._manager.submit(saga_id, Ask(make, done, definition, bindings))
