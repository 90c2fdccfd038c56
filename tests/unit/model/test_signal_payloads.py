"""A signal's payload is any JSON value, null too; and what counts as the same payload."""

import pytest

from saga_es.errors import SignalConflict
from tests.unit.model.plans import act, after, dispatched, plan, received, start, tell, wait

pytestmark = pytest.mark.promise("case.signal", "case.duplicate")
ASKING = plan(wait("yes"), act("a", "yes"))
EARLY = plan(act("a"), wait("yes", "a"))
PAYLOADS = [None, 0, False, "", [], {}, {"by": "ann"}]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_any_payload_is_received_once_and_lets_go_what_waits(payload):
    saga = after(ASKING, start()).when(tell("yes", payload)).then(received("yes", payload), dispatched("a"))
    assert saga.state.steps["yes"].result == payload
    saga.when(tell("yes", payload)).then()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_any_payload_is_kept_when_it_comes_early(payload):
    saga = after(EARLY, start()).when(tell("yes", payload)).then(received("yes", payload))
    saga.when(tell("yes", payload)).then()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (None, 0),
        (0, False),
        (1, True),
        ("", None),
        ([], {}),
        ({"a": 1}, {"a": 1, "b": None}),
        ([1, 2], [2, 1]),
    ],
)
def test_payloads_that_differ_as_json_are_in_conflict(first, second):
    saga = after(ASKING, start(), tell("yes", first))
    saga.when(tell("yes", second)).then_raises(SignalConflict, signal="yes", saga_id="saga-1")


def test_the_order_of_an_object_s_keys_makes_no_difference():
    saga = after(ASKING, start(), tell("yes", {"a": 1, "b": 2}))
    saga.when(tell("yes", {"b": 2, "a": 1})).then()
