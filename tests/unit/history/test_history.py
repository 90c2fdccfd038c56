from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from saga_es.errors import IllegalTransition, InvalidInput
from saga_es.history import Change, History
from saga_es.model.definition import SignalDefinition
from saga_es.model.lifecycle import SagaStatus, StepStatus


@pytest.mark.promise("call.History.timeline")
def test_the_timeline_keeps_the_logs_order_and_times(theatre):
    history = theatre.kevin().history
    timeline = history.timeline()
    assert [moment.version for moment in timeline] == list(range(1, 14))
    assert [moment.type for moment in timeline] == [recorded.type for recorded in history.events]
    assert [moment.at for moment in timeline] == [recorded.at for recorded in history.events]
    assert [moment.step for moment in timeline][4:7] == ["buy_tickets", "book_hotel", "book_plane"]
    assert timeline[6].text == "book_plane: succeeded in attempt 1"
    assert str(timeline).splitlines()[5] == (
        "   6  2026-11-24T05:00:02.123456Z  book_hotel: rejected in attempt 1 (rejected: no available hotel rooms)"
    )


def test_a_timelines_text_is_one_harmless_line(theatre):
    play = theatre.play(theatre.step("a")).start().rejected("a", "x\n\x1b[2J")
    assert len(str(play.history.timeline()).splitlines()) == len(play.events)
    assert "\x1b" not in str(play.history.timeline())


@pytest.mark.promise("call.History.at")
def test_at_a_version(theatre):
    history = theatre.kevin().history
    assert history.at(version=0).version == 0
    assert history.at(version=6).status is SagaStatus.RUNNING
    assert history.at(version=6).steps["book_hotel"].status is StepStatus.REJECTED
    assert history.at(version=13) == history.state
    for version in (-1, 14):
        with pytest.raises(InvalidInput) as caught:
            history.at(version=version)
        assert caught.value.what == "version"
        assert "0 to 13" in caught.value.problem


@pytest.mark.promise("call.History.at")
def test_at_a_time(theatre):
    history = theatre.kevin().history
    begin = theatre.begin
    assert history.at(time=begin - timedelta(microseconds=1)).version == 0
    assert history.at(time=begin).version == 4
    elsewhere = (begin + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=-5)))
    assert history.at(time=elsewhere).version == 5
    assert history.at(time=datetime.max.replace(tzinfo=UTC)) == history.state
    with pytest.raises(InvalidInput) as caught:
        history.at(time=begin.replace(tzinfo=None))
    assert caught.value.what == "time"
    assert "naive" in caught.value.problem


def test_at_takes_exactly_one_of_version_and_time(theatre):
    history = theatre.kevin().history
    with pytest.raises(InvalidInput):
        history.at()  # type: ignore[call-overload]
    with pytest.raises(InvalidInput):
        history.at(version=1, time=theatre.begin)  # type: ignore[call-overload]


@pytest.mark.promise("call.History.diff")
def test_diff(theatre):
    history = theatre.kevin().history
    assert history.diff(5, 6) == (
        Change(None, "cause", None, history.state.cause),
        Change("book_hotel", "status", StepStatus.DISPATCHED, StepStatus.REJECTED),
        Change("book_hotel", "error", None, history.state.steps["book_hotel"].error),
    )
    assert history.diff(13, 13) == ()
    assert Change(None, "status", SagaStatus.FAILED, SagaStatus.COMPENSATING) in history.diff(13, 12)
    assert str(history.diff(12, 13)[0]) == "status: compensating → failed"
    with pytest.raises(InvalidInput):
        history.diff(0, 99)


def test_diff_tells_one_from_true(theatre):
    play = theatre.play(theatre.step("a"), theatre.step("b")).start().ok("a", 0).error("b", "lost")
    play.undone("a")
    assert Change("a", "result", None, 0) in play.history.diff(0, 9)


@pytest.mark.promise("call.History.to_json", "call.History.from_json")
def test_json_round_trips_byte_for_byte(theatre):
    history = theatre.kevin().history
    text = history.to_json()
    read = History.from_json(text)
    assert read.to_json() == text
    assert read == history
    assert read.trace() == history.trace()
    assert text.encode() == History.from_json(text).to_json().encode("utf-8")
    assert "läptop" in text


@pytest.mark.promise("call.History.to_json")
def test_the_shape_of_the_json(theatre):
    nodes = theatre.step("a", "do a"), SignalDefinition(name="ok", title="ok"), theatre.step("b", undo=None)
    play = theatre.play(*nodes).start({"x": 1.0})
    value = json.loads(play.history.to_json())
    assert list(value) == ["format", "saga_id", "definition", "events"]
    assert value["format"] == "saga_es.history/1"
    assert value["saga_id"] == "trip-42"
    definition = value["definition"]
    assert list(definition)[:5] == ["name", "version", "digest", "steps", "signals"]
    assert definition["order"] == ["a", "ok", "b"]
    first = definition["steps"][0]
    assert list(first)[:5] == ["name", "title", "needs", "pivot", "compensation"]
    assert list(first["compensation"])[:2] == ["name", "title"]
    assert definition["steps"][1]["compensation"] is None
    event = value["events"][0]
    assert list(event) == ["version", "type", "at", "data", "metadata"]
    assert event["at"] == "2026-11-24T05:00:00.123456Z"
    assert event["data"] == {
        "definition": "buy package",
        "definition_version": 1,
        "digest": play.definition.digest,
        "input": {"x": 1.0},
    }
    assert list(event["data"]) == ["definition", "definition_version", "digest", "input"]


def test_times_on_the_full_second_keep_their_microseconds_in_json(theatre):
    play = theatre.trip()
    play.now = datetime(2026, 1, 1, tzinfo=UTC)
    assert '"at": "2026-01-01T00:00:00.000000Z"' in play.start().history.to_json()


@pytest.mark.parametrize(
    "value",
    [
        {"z": 1, "a": [0.1, -0.0, 1e300, 10**40], "": None},
        "line\u2028\u2029 ümlaut 🛫 \x00\x7f",
        True,
        [[], {}, ""],
    ],
)
def test_any_json_value_survives(theatre, value):
    text = theatre.play(theatre.step("a")).start(value).ok("a", value).history.to_json()
    assert History.from_json(text).to_json() == text
    assert json.loads(text)["events"][2]["data"]["result"] == value


def edited(theatre, edit) -> str:
    value = json.loads(theatre.kevin().history.to_json())
    edit(value)
    return json.dumps(value)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda v: v.update(format="saga_es.history/2"), "saga_es.history/2"),
        (lambda v: v.pop("format"), "format is None"),
        (lambda v: v.pop("saga_id"), "saga_id"),
        (lambda v: v.update(more=1), "more"),
        (lambda v: v.update(events=[]), "does not begin with SagaStarted"),
        (lambda v: v["events"].pop(3), "event 4 in it has the version 5"),
        (lambda v: v["events"][4].update(type="os.system"), "os.system"),
        (lambda v: v["events"][4].update(at="yesterday"), "events.4.at"),
        (lambda v: v["events"][4].update(at="2026-01-01T00:00:00"), "events.4.at"),
        (lambda v: v["events"][4]["data"].update(attempt="1"), "event 5, StepSucceeded: attempt"),
        (lambda v: v["events"][4]["data"].update(surprise=1), "surprise"),
        (lambda v: v["definition"].update(name="other"), "digest"),
        (lambda v: v["definition"].update(order=["book_plane"]), "order"),
        (lambda v: v["definition"].pop("steps"), "definition"),
        (lambda v: v["definition"]["steps"][0].update(needs=["nobody"]), "nobody"),
    ],
)
def test_json_that_is_not_a_history_is_refused(theatre, edit, says):
    with pytest.raises(InvalidInput) as caught:
        History.from_json(edited(theatre, edit))
    assert says in caught.value.problem


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": NaN}', "[" * 100_000, '"\\ud800"', "1" * 5000]
)
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(InvalidInput) as caught:
        History.from_json(text)
    assert caught.value.what == "the history's JSON"


def test_not_a_number_is_refused_in_payloads(theatre):
    text = theatre.kevin().history.to_json().replace('"nights": 1.0', '"nights": NaN')
    with pytest.raises(InvalidInput):
        History.from_json(text)


def test_events_that_are_no_history_are_illegal(theatre):
    def twice(value):
        value["events"][5]["data"] = value["events"][4]["data"]
        value["events"][5]["type"] = "StepSucceeded"

    with pytest.raises(IllegalTransition) as caught:
        History.from_json(edited(theatre, twice))
    assert caught.value.trigger == "StepSucceeded"


@pytest.mark.promise("call.History.of")
def test_a_history_is_read_with_the_definition_it_was_started_with(theatre):
    play = theatre.kevin()
    with pytest.raises(InvalidInput) as caught:
        History.of(play.saga_id, theatre.saga(theatre.step("a")), play.events)
    assert play.definition.digest in caught.value.problem


def test_a_history_is_frozen(theatre):
    history = theatre.kevin().history
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.saga_id = "other"  # type: ignore[misc]
    assert isinstance(history.events, tuple)
