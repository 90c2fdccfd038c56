"""The fluent form: the same definition from plain functions, immutable, chained or piped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar

from saga_es.authoring.assembly import Assembly, Header, OnFailure, assemble, unresolved
from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.chain import Chain
from saga_es.authoring.entries import Compiled, Entry, SignalEntry, StepEntry, compile_entry
from saga_es.authoring.options import needs_of
from saga_es.authoring.part import Part
from saga_es.authoring.signatures import Unresolved
from saga_es.errors import DefinitionError
from saga_es.model.definition import SagaDefinition

T = TypeVar("T")
Payload = TypeVar("Payload")


@dataclass(frozen=True, eq=False)
class Definition(Chain[T]):
    """A saga made of functions; ``T`` is its input. Immutable: every step added makes another one.

    Attributes:
        entries: what was added so far, by name.
        ready: those of them that are checked for good, with all they need.
    """

    header: Header
    entries: Mapping[str, Entry] = field(default_factory=dict[str, Entry], repr=False)
    ready: Mapping[str, Compiled] = field(default_factory=dict[str, Compiled], repr=False)

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
        where = f"{self.header.name}.{name}"
        names = tuple(self._need(need, where) for need in needs_of(needs, where))
        return self._with(SignalEntry(name, payload, names, timeout, title))

    def _grown(self, part: Part[T]) -> Definition[T]:
        if not isinstance(part, Part):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise DefinitionError(
                f"grows by what do(…) makes, not by {part!r}; write … | do(…), or .step(…)",
                where=self.header.name,
            )
        where = f"{self.header.name}.{part.name}"
        return self._with(
            StepEntry(
                name=part.name,
                function=part.function,
                needs=tuple(self._need(need, where) for need in part.needs),
                options=part.options,
                undo=part.undo,
                probe=part.probe,
                probe_name=part.probe.name if part.probe else None,
            )
        )

    def _with(self, entry: Entry) -> Definition[T]:
        if entry.name in self.entries:
            raise DefinitionError(
                f"two nodes are named {entry.name!r}; give one another name: name=…", where=self.header.name
            )
        compiled = self._compiled(entry)
        ready = self.ready if compiled is None else {**self.ready, entry.name: compiled}
        return Definition(self.header, {**self.entries, entry.name: entry}, ready)

    def _compiled(self, entry: Entry) -> Compiled | None:
        """Return the entry's part of the plan, or ``None`` where something it needs is not there yet."""
        saga, types = self.header.name, dict[str, Any]()
        try:
            for need in entry.needs:
                if need in self.entries:
                    types[need] = self.entries[need].returns(f"{saga}.{need}")
            compiled = compile_entry(entry, saga=saga, takes=self.header.input, types=types)
        except Unresolved:
            return None
        return compiled if len(types) == len(set(entry.needs)) else None

    @cached_property
    def _assembly(self) -> Assembly:
        try:
            return assemble(self.header, tuple(self.entries.values()), self.ready)
        except Unresolved as error:
            raise unresolved(error, self.header.name) from error

    def _need(self, need: Any, where: str) -> str:
        """Return the name of what is needed: a name may come later, a function must be there already."""
        if isinstance(need, str):
            return need
        if not callable(need):
            raise DefinitionError(f"needs {need!r}, which is no step's function and no name", where=where)
        named = getattr(need, "__name__", "")
        if named in self.entries and _is_of(self.entries[named], need):
            return str(named)
        names = [name for name, entry in self.entries.items() if _is_of(entry, need)]
        if len(names) != 1:
            why = (
                f"is several steps ({', '.join(names)}); say which, by name"
                if names
                else "is no step of it yet"
            )
            raise DefinitionError(f"needs the function {named or need!r}, which {why}", where=where)
        return names[0]


def _is_of(entry: Entry, fn: Callable[..., Any]) -> bool:
    if not isinstance(entry, StepEntry):
        return False
    # Every access to a bound method makes another object, equal to the first.
    return entry.function.fn is fn or (inspect.ismethod(fn) and entry.function.fn == fn)


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
    definition = Definition[T](Header(name, input, version, on_failure))
    for part in steps:
        definition |= part
    return definition
