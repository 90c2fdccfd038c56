"""Times past the calendar's end are its end; nothing that a policy allows raises OverflowError."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from saga_es.model.definition import Retry
from saga_es.model.times import LATEST, later
from saga_es.testing.given import given
from tests.unit.model.plans import act, at, bad, plan, start, wait

MOMENT = timedelta(microseconds=1)
NEARLY_ONE = 1 - 2**-53


def test_the_latest_instant_is_the_calendars_last_in_utc():
    assert datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) == LATEST
    assert LATEST.tzinfo is UTC


@pytest.mark.parametrize(
    ("instant", "span", "expected"),
    [
        (at(), timedelta(0), at()),
        (at(), timedelta(seconds=90), at(90)),
        (at(), timedelta(seconds=-90), at(-90)),
        (at(), LATEST - at() - MOMENT, LATEST - MOMENT),
        (at(), LATEST - at(), LATEST),
        (at(), LATEST - at() + MOMENT, LATEST),
        (at(), timedelta.max, LATEST),
        (LATEST, timedelta(0), LATEST),
        (LATEST, MOMENT, LATEST),
        (LATEST, timedelta.max, LATEST),
    ],
)
def test_later_ends_at_the_calendars_end(instant, span, expected):
    assert later(instant, span) == expected
    assert later(instant, span).tzinfo is UTC


ENDLESS = {"delay": timedelta.max, "max_delay": timedelta.max}


@pytest.mark.promise("field.Retry.delay", "field.Retry.max_delay", "field.Retry.jitter")
@pytest.mark.parametrize("attempt", [1, 2, 5000])
@pytest.mark.parametrize("chance", [0.5 + 2**-20, NEARLY_ONE])
def test_a_delay_longer_than_any_is_the_longest(attempt, chance):
    assert Retry(attempts=9, jitter=1.0, **ENDLESS).delay_after(attempt, chance) == timedelta.max
    assert Retry(attempts=9, jitter=0.1, **ENDLESS).delay_after(attempt, chance) == timedelta.max


@pytest.mark.promise("field.Retry.factor", "field.Retry.max_delay")
def test_a_factor_that_no_number_holds_leads_to_the_longest_delay():
    retry = Retry(attempts=9999, factor=1e300, max_delay=timedelta(hours=1), jitter=0.0)
    assert retry.delay_after(1, 0.0) == timedelta(milliseconds=100)
    assert retry.delay_after(2, 0.0) == timedelta(hours=1)
    assert retry.delay_after(9998, 0.0) == timedelta(hours=1)


@pytest.mark.promise("field.Retry.jitter")
def test_chance_takes_from_the_longest_delay_too():
    half = Retry(attempts=2, jitter=1.0, **ENDLESS).delay_after(1, 0.25)
    assert timedelta(days=499_999_999) < half < timedelta(days=500_000_001)


@pytest.mark.promise("field.Retry.max_delay", "field.Attempt.deadline")
def test_what_a_plan_never_waits_to_the_end_of_is_due_at_the_calendars_end():
    book = act("book", timeout=timedelta.max, retry=Retry(attempts=2, jitter=0.0, **ENDLESS))
    word = wait("word").model_copy(update={"timeout": timedelta.max})
    begun = given(plan(book, word)).when(start())
    awaited, dispatched = begun.events[1:]
    assert (dispatched.step, dispatched.deadline) == ("book", LATEST)
    assert (awaited.signal, awaited.due) == ("word", LATEST)
    (retry,) = begun.when(bad("book", t=1)).events
    assert (retry.step, retry.due) == ("book", LATEST)
