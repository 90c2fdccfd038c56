"""The plan as data: its lint, its digest, its policies."""

import json
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from saga_es.errors import DefinitionError, InvalidInput
from saga_es.model.definition import Retry, SagaDefinition, SignalDefinition, StepDefinition
from saga_es.model.keys import call_key, check_saga_id
from saga_es.model.masks import bits
from saga_es.model.vector import vector
from tests.unit.model.plans import act, plan, wait

TRIP = plan(act("a", title="fly"), act("b", "a"), wait("w", "a"), act("c", "b w", pivot=True))


# -- the lint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "where", "says"),
    [
        ((act("a", "b"), act("b", "c"), act("c", "a")), "trip", "a → b → c → a"),
        ((act("x"), act("a", "a")), "trip", "a → a"),
        ((act("a", "zz"), act("b")), "trip.a", "needs 'zz', which this saga does not have; it has a, b"),
        ((act("a"), act("a")), "trip", "two nodes are named 'a'"),
        ((act("a"), wait("a")), "trip", "two nodes are named 'a'"),
        ((act("1a"),), "trip", "'1a' is not allowed"),
        ((act("a b"),), "trip", "'a b' is not allowed"),
        ((act("a/b"),), "trip", "'a/b' is not allowed"),
        ((act("ä"),), "trip", "'ä' is not allowed"),
        ((act("a\n"),), "trip", "is not allowed"),
    ],
)
@pytest.mark.promise("error.DefinitionError", "case.bad-definition")
def test_a_plan_that_cannot_work_is_refused_naming_the_place(nodes, where, says):
    with pytest.raises(DefinitionError) as caught:
        plan(*nodes)
    assert caught.value.where == where
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["a", "_", "A9", "book-plane", "book_plane"])
def test_a_name_that_is_allowed(name):
    assert plan(act(name)).order == (name,)


def test_the_order_lists_every_node_once():
    with pytest.raises(DefinitionError, match="does not list the nodes"):
        plan(act("a"), act("b"), order=("a",))
    assert [node.name for node in plan(act("a"), act("b"), order=("b", "a")).nodes] == ["b", "a"]


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 0},
        {"delay": timedelta(seconds=-1)},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"factor": float("inf")},
    ],
)
def test_a_policy_that_means_nothing_is_refused(fields):
    with pytest.raises(ValidationError):
        Retry(**fields)


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), "soon"])
def test_a_timeout_is_positive(timeout):
    with pytest.raises(ValidationError):
        act("a", timeout=timeout)
    with pytest.raises(ValidationError):
        SignalDefinition(name="w", title="w", timeout=timeout)


# -- the graph ---------------------------------------------------------------------------------------


def test_the_graph_numbers_nodes_as_they_were_declared():
    graph = plan(act("d", "b c b"), act("c", "a"), act("b", "a"), act("a")).graph
    assert graph.names == ("d", "c", "b", "a")
    assert graph.needs == ((1, 2), (3,), (3,), ())
    assert graph.dependents == ((), (0,), (0,), (1, 2))
    assert graph.before == (0b1110, 0b1000, 0b1000, 0)
    assert graph.topological[0] == 3
    assert graph.topological[-1] == 0
    assert (graph.pivot, graph.after_pivot) == (None, 0)


def test_the_graph_knows_what_comes_after_the_pivot():
    graph = plan(act("x", "p", undo=False), act("p", "a", pivot=True), act("a")).graph
    assert (graph.pivot, graph.after_pivot) == (1, 0b001)


def test_a_long_chain_is_no_problem():
    names = [f"s{number}" for number in range(5000)]
    chain = plan(act(names[0]), *(act(name, need) for need, name in pairwise(names)))
    assert chain.graph.topological == tuple(range(5000))


# -- digest and structure ----------------------------------------------------------------------------


def test_the_digest_is_over_the_whole_plan():
    others = [
        plan(act("a", title="soar"), act("b", "a"), wait("w", "a"), act("c", "b w", pivot=True)),
        plan(
            act("a", title="fly", retry=Retry(attempts=2)),
            act("b", "a"),
            wait("w", "a"),
            act("c", "b w", pivot=True),
        ),
        plan(act("a", title="fly"), act("b", "a"), wait("w", "a"), act("c", "b w", pivot=True), version=2),
    ]
    assert all(other.digest != TRIP.digest for other in others)
    assert [other.structure == TRIP.structure for other in others] == [True, True, True]


@pytest.mark.parametrize(
    "nodes",
    [
        (act("z"), act("b", "z"), wait("w", "z"), act("c", "b w", pivot=True)),
        (act("a"), act("b"), wait("w", "a"), act("c", "b w", pivot=True)),
        (act("a"), act("b", "a", undo=False), wait("w", "a"), act("c", "b w", pivot=True)),
        (act("a"), act("b", "a"), wait("w", "a"), act("c", "b w")),
        (act("a"), act("b", "a"), wait("w"), act("c", "b w", pivot=True)),
    ],
)
def test_the_structure_is_names_needs_compensations_pivot_and_signals(nodes):
    assert plan(*nodes).structure != TRIP.structure


@given(
    title=st.text(min_size=1),
    delay=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)),
    factor=st.floats(min_value=1, allow_infinity=False, allow_nan=False),
    schema=st.none()
    | st.dictionaries(
        st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    ),
)
def test_its_text_is_its_value_as_json(title, delay, factor, schema):
    retry = Retry(attempts=3, delay=delay, factor=factor)
    made = plan(act("a", title=title, retry=retry), wait("w", "a"), act("c", "a w", pivot=True))
    made = SagaDefinition.model_validate({**made.model_dump(), "input_schema": schema})

    assert made.text == to_json(made.to_json_value())
    assert SagaDefinition.from_json_value(from_json(made.text)) == made


def test_what_starts_ask_for_is_worked_out_before():
    made = plan(act("a"))
    made.work_out()
    assert {"plan", "digest", "lane", "text"} <= set(vars(made))


def test_the_digest_is_the_same_in_every_process():
    code = (
        "import json, sys; from saga_es.model.definition import SagaDefinition as D; "
        "print(D.from_json_value(json.load(sys.stdin)).digest)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(TRIP.to_json_value()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == TRIP.digest
    assert TRIP.digest.startswith("sha256:")


def test_a_plan_round_trips_as_json():
    value = TRIP.to_json_value()
    again = SagaDefinition.from_json_value(json.loads(json.dumps(value)))
    assert again == TRIP
    assert again.to_json_value() == value


def test_a_plan_that_was_tampered_with_is_refused():
    value = TRIP.to_json_value()
    with pytest.raises(ValueError, match="is recorded as"):
        SagaDefinition.from_json_value({**value, "version": 9})


def test_nodes_are_found_by_name_and_kind():
    assert isinstance(TRIP.step("a"), StepDefinition)
    assert isinstance(TRIP.signal("w"), SignalDefinition)
    assert (TRIP.step("w"), TRIP.signal("a"), TRIP.step("z"), TRIP.signal("z")) == (None, None, None, None)


# -- retry -------------------------------------------------------------------------------------------


@pytest.mark.promise("field.Retry.attempts", "field.Retry.delay", "field.Retry.factor")
@pytest.mark.promise("field.Retry.max_delay", "field.Retry.jitter")
def test_the_defaults_of_a_retry():
    retry = Retry()
    assert (retry.attempts, retry.delay, retry.factor) == (1, timedelta(milliseconds=100), 2.0)
    assert (retry.max_delay, retry.jitter) == (timedelta(minutes=1), 0.1)


def test_delays_grow_up_to_the_greatest():
    retry = Retry(attempts=9, delay=timedelta(seconds=1), factor=3, max_delay=timedelta(seconds=10))
    assert [retry.delay_after(n, 0.5).total_seconds() for n in (1, 2, 3, 4, 5000)] == [1, 3, 9, 10, 10]


# -- keys and small parts ----------------------------------------------------------------------------


def test_a_call_s_key_is_made_of_four_parts():
    assert call_key("trip-42", "a", "compensation", 2) == "trip-42/a/compensation/2"


@pytest.mark.parametrize("saga_id", ["", "x" * 201, "a\nb", "\x00", 7, None])
@pytest.mark.promise("error.InvalidInput")
def test_a_saga_id_that_is_not_allowed(saga_id):
    with pytest.raises(InvalidInput) as caught:
        check_saga_id(saga_id)
    assert caught.value.what == "saga_id"


@pytest.mark.parametrize("saga_id", ["x", "x" * 200, "reise nach köln/1"])
def test_a_saga_id_that_is_allowed(saga_id):
    assert check_saga_id(saga_id) == saga_id


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1024, 1025, 40_000])
def test_a_vector_sets_one_place_and_leaves_the_old_one(length):
    old = vector(range(length))
    assert list(old) == list(range(length))
    assert len(old) == length
    for index in {0, length // 2, length - 1} & set(range(length)):
        new = old.set(index, -1)
        assert new[index] == -1
        assert old[index] == index
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_the_numbers_in_a_mask_come_in_order():
    assert list(bits(0)) == []
    assert list(bits(0b101001)) == [0, 3, 5]
