from __future__ import annotations

from datetime import timedelta

from saga_es.history.remaining import remaining
from saga_es.model.commands import RetryStep
from saga_es.model.definition import Retry, SignalDefinition


def told(play) -> list[tuple[str, str, str]]:
    return [(one.name, one.op, one.text) for one in remaining(play.definition, play.state)]


def test_going_forward(theatre):
    nodes = [
        theatre.step("a", retry=Retry(attempts=3, delay=timedelta(hours=1), jitter=0.0)),
        theatre.step("b", needs=("a", "ok")),
        SignalDefinition(name="ok", title="ok", timeout=timedelta(days=1)),
    ]
    play = theatre.play(*nodes)
    play.start()
    assert told(play) == [
        ("a", "action", "attempt 1 in flight"),
        ("b", "action", "waits for a, ok"),
        ("ok", "signal", "awaited until 2026-11-25T05:00:00.123456Z"),
    ]
    play.error("a", "busy\nline")
    assert told(play)[0] == (
        "a",
        "action",
        "attempt 1 failed (busy line); the next follows at 2026-11-24T05:01:01.123456Z",
    )
    play.signal("ok").wait(timedelta(hours=2)).ok("a", attempt=2)
    assert told(play) == [("b", "action", "attempt 1 in flight")]
    assert told(play.ok("b")) == []


def test_without_room_and_paused(theatre):
    play = theatre.trip(room=0).start()
    assert [text for _, _, text in told(play)] == ["ready, waits for room"] * 3
    assert [text for _, _, text in told(play.pause())] == ["ready, and the saga is paused"] * 3


def test_draining_then_going_back(theatre):
    nodes = [
        theatre.step("a"),
        theatre.step("b", needs=("a",)),
        theatre.step("c"),
        theatre.step("d", undo=None),
    ]
    play = theatre.play(*nodes).start().ok("a").ok("d").rejected("c", "no")
    in_flight = "attempt 1 in flight; its answer is recorded before the saga turns round"
    assert told(play) == [
        ("a", "compensation", "to be undone once nothing is in flight"),
        ("b", "action", in_flight),
    ]
    play.ok("b")
    assert told(play) == [
        ("a", "compensation", "waits for what came after it to be undone"),
        ("b", "compensation", "attempt 1 in flight"),
    ]
    play.undo_error("b", "down")
    assert told(play)[1] == ("b", "compensation", "stuck after attempt 1 (down)")
    play.room = 0
    assert told(play.repair(RetryStep, "b"))[1] == (
        "b",
        "compensation",
        "attempt 1 failed (down); the next follows",
    )


def test_parked_past_the_pivot(theatre):
    nodes = [
        theatre.step("charge", undo=None, pivot=True),
        theatre.step("ship", undo=None, needs=("charge",), retry=Retry(attempts=1)),
    ]
    play = theatre.play(*nodes).start().ok("charge").rejected("ship", "no van")
    assert told(play) == [("ship", "action", "parked (no van)")]


def test_a_round_opened_after_the_end_remains(theatre):
    play = theatre.play(theatre.step("a"), room=10).start().error("a", "lost").undone("a")
    assert told(play) == []
    assert told(play.ok("a", 1)) == [("a", "compensation", "attempt 1 in flight")]
