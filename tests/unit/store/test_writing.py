"""Events are written by hand as pydantic writes them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from saga_es.model.events import SagaStarted, StepDispatched, StepSucceeded
from saga_es.model.making import SAGA_SUCCEEDED
from saga_es.store.writing import Instants, data_of

EAST = timezone(timedelta(hours=5, minutes=30))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
whole = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
instants = whole | st.datetimes(timezones=st.sampled_from([UTC, EAST]))
attempts = st.integers(1, 1 << 40)
dispatched = st.builds(
    StepDispatched, step=st.text(), attempt=attempts, key=st.text(), deadline=st.none() | instants
)
succeeded = st.builds(StepSucceeded, step=st.text(), attempt=attempts, result=values)
started = st.builds(
    SagaStarted, definition=st.text(), definition_version=st.just(1), digest=st.text(), input=values
)


@given(event=dispatched | succeeded | started | st.just(SAGA_SUCCEEDED))
def test_an_event_is_written_to_the_byte_as_by_its_class(event: Any):
    assert data_of(event) == event.model_dump_json().encode()


def test_a_text_that_is_no_utf8_is_refused():
    event = StepDispatched.model_construct(step="a", attempt=1, key="\ud800", deadline=None)

    with pytest.raises(UnicodeEncodeError):
        data_of(event)


def test_what_another_transport_let_through_is_written_as_pydantic_does():
    event = StepSucceeded.model_construct(step="a", attempt=1, result=[float("nan"), float("inf")])

    assert data_of(event) == event.model_dump_json().encode()


def test_an_hour_that_comes_twice_is_told_apart():
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    writing = Instants()

    assert writing.text_of(first) == b"2026-10-25T00:30:00.000000Z"
    assert writing.text_of(second) == b"2026-10-25T01:30:00.000000Z"


@given(ats=st.lists(instants, max_size=5))
def test_equal_instants_are_equal_bytes_and_come_back(ats: list[datetime]):
    writing = Instants()

    for at in ats:
        text = writing.text_of(at)
        assert text == Instants().text_of(at.astimezone(UTC))
        assert len(text) == len("2026-11-26T09:12:12.458397Z")
        assert TypeAdapter[Any](datetime).validate_python(text.decode()) == at
