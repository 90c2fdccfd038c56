"""What a history holds, and each record in it."""

import pytest

from saga_es.model.events import StepSucceeded


@pytest.mark.promise("field.History.saga_id", "field.History.definition")
@pytest.mark.promise("field.History.events", "field.History.state", "call.History.of")
def test_a_history_is_the_plan_the_log_and_how_it_stands(theatre):
    play = theatre.kevin()
    history = play.history
    assert history.saga_id == "trip-42"
    assert history.definition == play.definition
    assert history.definition.name == "buy package"
    assert isinstance(history.events, tuple)
    assert [recorded.version for recorded in history.events] == list(range(1, 14))
    assert [recorded.type for recorded in history.events][-1] == "SagaFailed"
    assert history.state == play.state
    assert (history.state.version, history.state.status) == (13, "failed")


@pytest.mark.promise("field.Recorded.version", "field.Recorded.type", "field.Recorded.at")
@pytest.mark.promise("field.Recorded.event", "field.Recorded.metadata")
def test_a_record_is_the_event_with_its_place_its_name_its_time_and_who_recorded_it(theatre):
    recorded = theatre.kevin().history.events[4]
    assert recorded._fields == ("version", "type", "at", "event", "metadata")
    assert (recorded.version, recorded.type) == (5, "StepSucceeded")
    assert recorded.event == StepSucceeded(step="buy_tickets", attempt=1, result=[])
    assert recorded.at.isoformat() == "2026-11-24T05:00:01.123456+00:00"
    assert recorded.metadata == {"host": "läptop"}
