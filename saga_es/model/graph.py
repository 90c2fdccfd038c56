"""The graph of a plan, by index: who needs whom, what the pivot cuts; built once, and linted by being built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from saga_es.errors import DefinitionError
from saga_es.model.masks import Mask, mask_of


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes are numbered in the declared order; sets of nodes are bit masks of those numbers.

    Attributes:
        index: name to number.
        needs, dependents: direct neighbours of each node, deduplicated, in ascending order.
        topological: the nodes so that each comes after all it needs.
        pivot: the pivot's number, if there is one.
        before: for each node, the mask of all it needs, transitively, as one number.
        after_pivot: the mask of the nodes that come after the pivot.
    """

    names: tuple[str, ...]
    index: Mapping[str, int]
    needs: tuple[tuple[int, ...], ...]
    dependents: tuple[tuple[int, ...], ...]
    topological: tuple[int, ...]
    pivot: int | None
    before: tuple[int, ...]
    after_pivot: Mask

    @classmethod
    def build(
        cls,
        saga: str,
        needs: Mapping[str, Sequence[str]],
        *,
        pivots: Sequence[str],
        undoable: AbstractSet[str],
    ) -> Graph:
        """Return the graph of ``needs`` (name to the names it needs, in declared order), or raise DefinitionError."""
        names = tuple(needs)
        index = {name: number for number, name in enumerate(names)}
        for name, wanted in needs.items():
            for need in wanted:
                if need not in index:
                    raise DefinitionError(
                        f"needs {need!r}, which this saga does not have; it has {', '.join(names)}",
                        where=f"{saga}.{name}",
                    )
        inward = tuple(tuple(sorted({index[need] for need in needs[name]})) for name in names)
        outward: list[list[int]] = [[] for _ in names]
        for number, numbers in enumerate(inward):
            for wanted_number in numbers:
                outward[wanted_number].append(number)
        topological = _sorted(saga, names, inward, outward)
        before = [0] * len(names)
        for number in topological:
            for wanted_number in inward[number]:
                before[number] |= before[wanted_number] | (1 << wanted_number)
        pivot, after_pivot = _pivot(saga, names, index, before, pivots=pivots, undoable=undoable)
        dependents = tuple(map(tuple, outward))
        return cls(names, index, inward, dependents, topological, pivot, tuple(before), after_pivot)


def _sorted(
    saga: str, names: Sequence[str], needs: Sequence[Sequence[int]], dependents: Sequence[Sequence[int]]
) -> tuple[int, ...]:
    unmet = [len(wanted) for wanted in needs]
    ready = [number for number, count in enumerate(unmet) if count == 0]
    for number in ready:  # grows while it is read
        for dependent in dependents[number]:
            unmet[dependent] -= 1
            if unmet[dependent] == 0:
                ready.append(dependent)
    if len(ready) < len(names):
        raise DefinitionError(
            f"the steps need each other in a circle: {_cycle(names, needs, unmet)}", where=saga
        )
    return tuple(ready)


def _cycle(names: Sequence[str], needs: Sequence[Sequence[int]], unmet: Sequence[int]) -> str:
    # Every node left over needs another one left over: following needs must come back to where it was.
    path = [next(number for number, count in enumerate(unmet) if count)]
    while path.count(path[-1]) == 1:
        path.append(next(need for need in needs[path[-1]] if unmet[need]))
    circle = path[path.index(path[-1]) :]
    return " → ".join(names[number] for number in circle)


def _pivot(
    saga: str,
    names: Sequence[str],
    index: Mapping[str, int],
    before: Sequence[int],
    *,
    pivots: Sequence[str],
    undoable: AbstractSet[str],
) -> tuple[int | None, Mask]:
    if not pivots:
        return None, 0
    if len(pivots) > 1:
        raise DefinitionError(
            f"has {len(pivots)} pivots ({', '.join(pivots)}); at most one is possible", where=saga
        )
    pivot = index[pivots[0]]
    after: list[int] = []
    for number, name in enumerate(names):
        if before[number] >> pivot & 1:
            after.append(number)
            if name in undoable:
                raise DefinitionError(
                    f"comes after the pivot {pivots[0]!r}, so nothing undoes it; remove its compensation",
                    where=f"{saga}.{name}",
                )
        elif number != pivot and not before[pivot] >> number & 1:
            raise DefinitionError(
                f"may run beside the pivot {pivots[0]!r}, which must be a cut: make the pivot need it, or make it "
                "need the pivot",
                where=f"{saga}.{name}",
            )
    return pivot, mask_of(after)
