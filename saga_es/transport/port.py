"""What the dispatcher asks of a transport: the calls of an attempt, ready to be made."""

from __future__ import annotations

from typing import Protocol

from saga_es.authoring.bindings import SagaBindings
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.effects import RunAttempt


class Exchange(Protocol):
    """One call of a participant, made once: its arguments in, its answer out.

    KeyboardInterrupt, SystemExit and CancelledError are nobody's answer and pass through.
    """

    @property
    def blocks(self) -> bool:
        """Whether it is made in a thread, with ``made``; otherwise on the loop, with ``awaited``."""
        ...

    def made(self) -> Succeeded | Failed:
        """Make the call here."""
        ...

    async def awaited(self) -> Succeeded | Failed:
        """Make the call on the loop, within the current task."""
        ...

    def failed(self, error: BaseException) -> Failed:
        """Return what an exception of this call means."""
        ...


class Transport(Protocol):
    """Where steps run; one contract suite (tests/contract) runs against all."""

    def call(self, attempt: RunAttempt, bindings: SagaBindings) -> Exchange:
        """Return the attempt's own call, of the action or the compensation."""
        ...

    def probe(self, attempt: RunAttempt, bindings: SagaBindings) -> Exchange | None:
        """Return the call that asks whether the action had its effect, or ``None`` where there is none.

        Its answer: Succeeded with the result, Failed of kind ``rejected`` (no effect), or no answer either.
        """
        ...
