"""The fluent form: the same definition from plain functions, immutable, chained or piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar

from saga_es.authoring.assembly import Assembly, Header, OnFailure, assemble, unresolved
from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.chain import Chain
from saga_es.authoring.entries import Adapters, Compiled, Entry, SignalEntry
from saga_es.authoring.growing import Growing
from saga_es.authoring.options import needs_of
from saga_es.authoring.part import Part
from saga_es.authoring.signatures import Unresolved
from saga_es.model.definition import SagaDefinition

T = TypeVar("T")
Payload = TypeVar("Payload")


@dataclass(frozen=True, eq=False)
class Definition(Chain[T]):
    """A saga made of functions; ``T`` is its input. Immutable: every step added makes another one.

    Attributes:
        entries: what was added so far, by name.
        ready: those of them that are checked for good, with all they need.
        adapters: of what they return.
    """

    header: Header
    entries: Mapping[str, Entry] = field(default_factory=dict[str, Entry], repr=False)
    ready: Mapping[str, Compiled] = field(default_factory=dict[str, Compiled], repr=False)
    adapters: Adapters = field(default_factory=Adapters, repr=False)

    @property
    def definition(self) -> SagaDefinition:
        """The plan, as data.

        Raises:
            DefinitionError: it can't work; the message names the place.
        """
        return self._assembly.bindings.definition

    def __saga_bindings__(self) -> SagaBindings:
        return self._assembly.bindings

    def signal(
        self,
        name: str,
        payload: type[Payload],
        needs: Sequence[Any] = (),
        timeout: timedelta | None = None,
        title: str | None = None,
    ) -> Definition[T]:
        """Return the definition with one more node, which waits for somebody outside.

        Args:
            name: under which it is recorded, needed and sent.
            payload: the type of what is sent with it.
            needs: functions or names of what comes before it; Any, since their results do not matter to it.
            timeout: how long it waits from when its needs are met; ``None`` for ever.
            title: for people; by default its name with spaces.
        """
        where, growing = f"{self.header.name}.{name}", self._growing()
        names = tuple(growing.need(need, where) for need in needs_of(needs, where))
        growing.add(SignalEntry(name, payload, names, timeout, title))
        return _as_grown(growing)

    def _grown(self, part: Part[T]) -> Definition[T]:
        growing = self._growing()
        growing.add_step(part)
        return _as_grown(growing)

    def _growing(self) -> Growing:
        return Growing(self.header, dict(self.entries), dict(self.ready), Adapters(self.adapters))

    @cached_property
    def _assembly(self) -> Assembly:
        try:
            return assemble(self.header, tuple(self.entries.values()), self.ready, self.adapters)
        except Unresolved as error:
            raise unresolved(error, self.header.name) from error


def define(
    name: str,
    input: type[T],  # noqa: A002 - the word of the house
    version: int = 1,
    on_failure: OnFailure = "drain",
    *,
    steps: Sequence[Part[T]] = (),
) -> Definition[T]:
    """Begin a saga's definition: ``define("buy package", Trip).step(book_plane, undo=cancel_plane)``.

    Args:
        name: under which its sagas are recorded.
        input: the type of what they are started with.
        version: to be raised when the structure changes while sagas run; register the old one beside it.
        on_failure: "drain" lets attempts in flight finish after a failure; "cancel" cancels coroutines.
        steps: ready-made steps, as ``do(…)`` makes them; the same as adding them one by one.
    """
    growing = Growing(Header(name, input, version, on_failure))
    for part in steps:
        growing.add_step(part)
    return _as_grown(growing)


def _as_grown(growing: Growing) -> Definition[Any]:
    return Definition(growing.header, growing.entries, growing.ready, growing.adapters)
