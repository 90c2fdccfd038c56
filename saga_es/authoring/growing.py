"""What a fluent definition is while it grows: changed in place, by whoever hands out the next one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from saga_es.authoring.assembly import Header
from saga_es.authoring.entries import Adapters, Compiled, Entry, StepEntry, compile_entry
from saga_es.authoring.part import Part
from saga_es.authoring.signatures import Unresolved
from saga_es.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Growing:
    """A definition's fields, its own: copied once for all the steps that are added, however many they are."""

    header: Header
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    ready: dict[str, Compiled] = field(default_factory=dict[str, Compiled])
    adapters: Adapters = field(default_factory=Adapters)

    def add_step(self, part: Part[Any]) -> None:
        """Add what ``do(…)`` makes, or raise DefinitionError."""
        if not isinstance(part, Part):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise DefinitionError(
                f"grows by what do(…) makes, not by {part!r}; write … | do(…), or .step(…)",
                where=self.header.name,
            )
        where = f"{self.header.name}.{part.name}"
        self.add(
            StepEntry(
                name=part.name,
                function=part.function,
                needs=tuple(self.need(need, where) for need in part.needs),
                options=part.options,
                undo=part.undo,
                probe=part.probe,
                probe_name=part.probe.name if part.probe else None,
            )
        )

    def add(self, entry: Entry) -> None:
        """Add a node, compiled where that can be done, or raise DefinitionError."""
        if entry.name in self.entries:
            raise DefinitionError(
                f"two nodes are named {entry.name!r}; give one another name: name=…", where=self.header.name
            )
        compiled = self._compiled(entry)
        self.entries[entry.name] = entry
        if compiled is not None:
            self.ready[entry.name] = compiled

    def _compiled(self, entry: Entry) -> Compiled | None:
        """Return the entry's part of the plan, or ``None`` where something it needs is not there yet."""
        saga, types = self.header.name, dict[str, Any]()
        try:
            for need in entry.needs:
                if need in self.entries:
                    types[need] = self.entries[need].returns(f"{saga}.{need}")
            compiled = compile_entry(
                entry, saga=saga, takes=self.header.input, types=types, adapters=self.adapters
            )
        except Unresolved:
            return None
        return compiled if len(types) == len(set(entry.needs)) else None

    def need(self, need: Any, where: str) -> str:
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
