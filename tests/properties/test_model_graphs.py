"""The graph of a plan against the textbook's definitions, worked out the slow way."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from saga_es.errors import DefinitionError
from saga_es.model.graph import Graph
from saga_es.model.masks import bits
from saga_es.model.vector import vector
from tests.properties.graphs import definitions


@st.composite
def needs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Any graph, circles included."""
    count = draw(st.integers(min_value=1, max_value=8))
    names = [f"n{number}" for number in range(count)]
    return {name: tuple(draw(st.lists(st.sampled_from(names), max_size=2))) for name in names}


def closure(graph: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """All that each node needs, transitively."""
    before = {name: set(wanted) for name, wanted in graph.items()}
    for middle in graph:
        for name in graph:
            if middle in before[name]:
                before[name] |= before[middle]
    return before


def build(
    graph: dict[str, tuple[str, ...]], *, pivots: list[str], undoable: set[str]
) -> Graph | DefinitionError:
    try:
        return Graph.build("random", graph, pivots=pivots, undoable=undoable)
    except DefinitionError as error:
        return error


@given(needs())
def test_a_circle_is_refused_and_shown_and_all_else_is_sorted(graph: dict[str, tuple[str, ...]]):
    before = closure(graph)
    made = build(graph, pivots=[], undoable=set())
    if isinstance(made, DefinitionError):
        circle = str(made).rsplit(": ", 1)[1].split(" → ")
        assert circle[0] == circle[-1]
        assert all(later in graph[earlier] for earlier, later in pairwise(circle))
        assert any(name in before[name] for name in graph)
        return
    assert not any(name in before[name] for name in graph)
    names = made.names
    assert {name: {names[i] for i in bits(made.before[made.index[name]])} for name in names} == before
    place = {number: index for index, number in enumerate(made.topological)}
    for number, wanted in enumerate(made.needs):
        assert all(place[need] < place[number] for need in wanted)
        assert all(number in made.dependents[need] for need in wanted)


@given(needs(), st.data())
def test_a_pivot_is_accepted_where_it_is_a_cut(graph: dict[str, tuple[str, ...]], data: st.DataObject):
    before = closure(graph)
    if any(name in before[name] for name in graph):
        return
    pivot = data.draw(st.sampled_from(sorted(graph)))
    undoable = set(data.draw(st.lists(st.sampled_from(sorted(graph)))))
    after = {name for name in graph if pivot in before[name]}
    beside = set(graph) - after - before[pivot] - {pivot}
    made = build(graph, pivots=[pivot], undoable=undoable)
    assert isinstance(made, DefinitionError) == bool(beside or after & undoable)
    if isinstance(made, Graph):
        assert {made.names[number] for number in bits(made.after_pivot)} == after


@given(definitions())
def test_a_random_plan_is_its_own_json(definition):
    again = type(definition).from_json_value(definition.to_json_value())
    assert again == definition
    assert (again.digest, again.structure) == (definition.digest, definition.structure)


@given(st.lists(st.integers(), max_size=3000), st.data())
def test_a_vector_is_a_list_that_is_never_changed(items: list[int], data: st.DataObject):
    made, model = vector(items), list(items)
    versions = [(made, tuple(model))]
    if items:
        for _ in range(data.draw(st.integers(min_value=0, max_value=5))):
            index = data.draw(st.integers(min_value=0, max_value=len(items) - 1))
            made = made.set(index, -1)
            model[index] = -1
            versions.append((made, tuple(model)))
    assert all(tuple(made) == expected for made, expected in versions)
