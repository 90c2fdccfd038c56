"""Random plans: graphs of up to twelve nodes with everything a definition can say."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from saga_es.model.definition import (
    CompensationDefinition,
    Retry,
    SagaDefinition,
    SignalDefinition,
    StepDefinition,
)

DELAYS = st.integers(min_value=0, max_value=5).map(lambda seconds: timedelta(seconds=seconds))


def retries() -> st.SearchStrategy[Retry]:
    return st.builds(Retry, attempts=st.sampled_from([1, 2, 3, 3]), delay=DELAYS)


def compensations(name: str) -> st.SearchStrategy[CompensationDefinition]:
    return st.builds(
        CompensationDefinition, name=st.just(f"undo_{name}"), title=st.just(f"undo {name}"), retry=retries()
    )


@st.composite
def definitions(draw: st.DrawFn, max_nodes: int = 12) -> SagaDefinition:
    """A plan whose nodes are declared in any order; with a pivot, it is a cut."""
    count = draw(st.integers(min_value=1, max_value=max_nodes))
    pivot = draw(st.none() | st.integers(min_value=0, max_value=count - 1))
    names = [f"n{number}" for number in range(count)]
    needs: list[tuple[str, ...]] = []
    for number in range(count):
        needs.append(_needs(draw, names, needs, number, pivot))
    steps: list[StepDefinition] = []
    signals: list[SignalDefinition] = []
    for number, name in enumerate(names):
        if number != pivot and draw(st.integers(min_value=0, max_value=4)) == 4:
            timeout = draw(st.none() | st.integers(min_value=1, max_value=20))
            due = None if timeout is None else timedelta(seconds=timeout)
            signals.append(SignalDefinition(name=name, title=name, needs=needs[number], timeout=due))
        else:
            steps.append(_step(draw, name, needs[number], number, pivot))
    return SagaDefinition(
        name="random",
        on_failure=draw(st.sampled_from(["drain", "cancel"])),
        steps=tuple(steps),
        signals=tuple(signals),
        order=tuple(draw(st.permutations(names))),
    )


def _needs(
    draw: st.DrawFn, names: list[str], needs: list[tuple[str, ...]], number: int, pivot: int | None
) -> tuple[str, ...]:
    wanted = (
        set(draw(st.lists(st.integers(min_value=0, max_value=number - 1), max_size=3))) if number else set()
    )
    if pivot is not None and number == pivot:  # it needs, directly or not, all that stands before it
        needed = {need for earlier in needs for need in earlier}
        wanted |= {earlier for earlier in range(number) if names[earlier] not in needed}
    elif pivot is not None and number > pivot and not any(earlier >= pivot for earlier in wanted):
        wanted.add(draw(st.integers(min_value=pivot, max_value=number - 1)))
    return tuple(names[earlier] for earlier in sorted(wanted))


def _step(
    draw: st.DrawFn, name: str, needs: tuple[str, ...], number: int, pivot: int | None
) -> StepDefinition:
    may_undo = pivot is None or number <= pivot
    return StepDefinition(
        name=name,
        title=name,
        needs=needs,
        pivot=number == pivot,
        read_only=draw(st.integers(min_value=0, max_value=5)) == 5,
        retry=draw(retries()) if draw(st.integers(0, 2)) else None,
        compensation=draw(compensations(name)) if may_undo and draw(st.integers(0, 3)) else None,
        probe=draw(st.sampled_from([None, None, f"find_{name}"])),
        optional=tuple(need for need in needs if draw(st.booleans())),
    )
