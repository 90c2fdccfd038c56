"""RunAttempt, whose constructor is written out, is the dataclass that it says to be, compiled or not."""

import copy
import dataclasses
import pickle
from datetime import UTC, datetime

from saga_es.model.effects import RunAttempt

NAMES = (
    "saga_id", "step", "op", "round", "number", "key", "action_key", "deadline", "arguments", "absent", "doubtful",
)  # fmt: skip
ATTEMPT = RunAttempt(
    "s", "fly", "action", 1, 2, "s/fly/action/1", "s/fly/action/1", None, ({"a": [1]},), 0, doubtful=False
)


def test_its_fields_are_what_it_is_made_with():
    assert tuple(field.name for field in dataclasses.fields(RunAttempt)) == NAMES
    assert repr(ATTEMPT).startswith(
        "RunAttempt(saga_id='s', step='fly', op='action', round=1, number=2, key="
    )


def test_one_with_another_deadline_is_another():
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)

    other = dataclasses.replace(ATTEMPT, deadline=noon)

    assert other.deadline == noon
    assert other != ATTEMPT
    assert dataclasses.replace(other, deadline=None) == ATTEMPT


def test_it_can_be_copied_and_sent_elsewhere():
    assert copy.copy(ATTEMPT) == ATTEMPT
    assert copy.deepcopy(ATTEMPT) == ATTEMPT
    assert pickle.loads(pickle.dumps(ATTEMPT)) == ATTEMPT  # noqa: S301 - our own


def test_equal_ones_hash_alike():
    one, other = (dataclasses.replace(ATTEMPT, arguments=("ann",)) for _ in range(2))

    assert one == other
    assert hash(one) == hash(other)
