"""The checker of histories: it is silent about a good one, and names what is wrong with a bad one."""

import pytest

from saga_es.model.events import Recorded
from saga_es.model.lifecycle import Ending
from saga_es.testing.invariants import check_history
from tests.unit.model.plans import (
    BY,
    CANCEL,
    NO,
    OOPS,
    TWICE,
    act,
    after,
    again,
    at,
    bad,
    compensated,
    deny,
    dispatched,
    done,
    ev,
    failed,
    force,
    late,
    no,
    ok,
    parked,
    pause,
    plan,
    received,
    rejected,
    resume,
    retry,
    skip,
    start,
    started,
    succeeded,
    supply,
    tell,
    turning,
    undo_bad,
    undoing,
    undone,
    wait,
    wake,
)  # fmt: skip

PAIR = plan(act("a"), act("b", "a"))
BOTH = plan(act("a", undo=False), act("b"))
PIVOT = plan(
    act("a"), act("p", "a", pivot=True, undo=False), act("x", "p", undo=False), wait("w", "p", timeout=9)
)
BEGUN = (started(PAIR), dispatched("a"), succeeded("a", 7), dispatched("b"))
BACK = (*BEGUN, succeeded("b"), ev.CancelRequested(**BY), turning(CANCEL, None))


def keyed(step):
    return ev.StepDispatched(step=step, attempt=1, key="s/b/action/1", deadline=None)


@pytest.mark.parametrize(
    "commands",
    [
        (start(), ok("a"), ok("p"), no("x"), wake(t=9), tell("w"), retry("x"), ok("x", attempt=2)),
        (start(), ok("a"), bad("p"), deny("p"), undo_bad("a"), wake(t=9), undone("a", attempt=2)),
        (
            start(),
            bad("a"),
            undone("a"),
            ok("a"),
            pause(),
            undo_bad("a", round=2),
            resume(t=9),
            undone("a", round=2),
        ),
        (start(), ok("a"), ok("p"), skip("x", room=0), pause(), ok("x"), wake(t=99), resume(t=99))[:3],
        (start(room=0), supply("a", room=0), wake(), no("p"), force("a", room=0))[:4],
    ],
)
def test_it_is_silent_about_a_good_history(commands):
    events = after(PIVOT, *commands).events
    for end in range(len(events) + 1):
        assert check_history(PIVOT, events[:end]) == []
    recorded = [Recorded(n, type(e).__name__, at(9999), e, {}) for n, e in enumerate(events, start=1)]
    assert check_history(PIVOT, recorded) == []


BROKEN = {
    "invariant.1": [
        (PAIR, (dispatched("a"),), "event 1, StepDispatched: is no move from unborn (invariant 1)"),
        (PAIR, (received("a"),), "comes before SagaStarted"),
        (PAIR, (started(PAIR), started(PAIR)), "is no move from pending"),
        (PAIR, (started(PAIR), dispatched("a"), compensated("a")), "is no move from dispatched"),
    ],
    "invariant.2": [(PAIR, (*BEGUN, done()), "'b' is dispatched")],
    "invariant.3": [
        (PAIR, (*BACK, failed("compensated", CANCEL, None)), "while a, b is not compensated"),
        (
            BOTH,
            (started(BOTH), dispatched("a"), succeeded("a"), dispatched("b"), rejected("b"), turning(NO, "b"),
             failed("compensated", NO, "b")),
            "names the residue (), not ('a',)",
        ),
        (
            PAIR,
            (started(PAIR), dispatched("a"), rejected("a"), turning(NO, "a"), failed("forced", NO, "a")),
            "says forced, not compensated",
        ),
    ],
    "invariant.4": [(PAIR, (*BACK, undoing("a")), "undoes 'a' before b")],
    "invariant.5": [
        (PAIR, (*BEGUN, undoing("a")), "comes while running"),
        (PAIR, (*BEGUN, ev.CancelRequested(**BY), turning(CANCEL, None)), "comes while b may still act"),
    ],
    "invariant.6": [
        (PAIR, (*BEGUN, succeeded("b"), done(), ev.SagaPaused(**BY)), "comes after the saga has succeeded"),
        (
            PAIR,
            (started(PAIR), dispatched("a"), rejected("a"), turning(NO, "a"), failed("compensated", NO, "a"),
             ev.SagaPaused(**BY)),
            "comes after the saga has failed",
        ),
    ],
    "invariant.7": [
        (PAIR, (*BEGUN[:-1], ev.CancelRequested(**BY), dispatched("b")), "begins 'b' after a failure or cancel"),
        (PAIR, (*BEGUN[:2], ev.CancelRequested(**BY), again("a")), "tries 'a' again after a failure or cancel"),
        (
            PIVOT,
            (started(PIVOT), ev.CancelRequested(**BY), received("w")),
            "uses 'w' after a failure or cancel",
        ),
    ],
    "invariant.8": [
        (PAIR, (started(PAIR), dispatched("a", 2)), "is attempt 2"),
        (PAIR, (*BACK, undoing("b", 2)), "is attempt 2"),
    ],
    "invariant.13": [
        (PAIR, (*BEGUN, succeeded("b", None, 2)), "answers attempt 2; 1 were dispatched"),
        (PAIR, (*BACK, undoing("b"), compensated("b", 2)), "answers attempt 2 of round 1"),
        (PAIR, (*BEGUN, late("b", 7, 2)), "answers attempt 2"),
    ],
    "case.pivot": [
        (
            PIVOT,
            (started(PIVOT), dispatched("a"), succeeded("a"), dispatched("p"), ev.CancelRequested(**BY)),
            "comes after the pivot's dispatch",
        ),
        (
            PIVOT,
            (started(PIVOT), dispatched("a"), succeeded("a"), dispatched("p"), succeeded("p"), turning(NO, "x")),
            "although the pivot has closed the way back",
        ),
    ],
    "case.pause": [(PAIR, (started(PAIR), ev.SagaPaused(**BY), dispatched("a")), "while the saga is paused")],
    "case.late-reply": [
        (PAIR, (*BACK, undoing("b"), compensated("b"), undoing("b", round=2)), "opens round 2 without a late success"),
        (PAIR, (*BEGUN, late("a", 7), late("a", 7)), "tells what was told before"),
    ],
    "field.key": [
        (PAIR, (started(PAIR), keyed("a")), "has the key"),
        (PAIR, (*BEGUN[:-1], keyed("b")), "another saga"),
    ],
    "other": [
        (PAIR, (started(PAIR), dispatched("b")), "begins 'b' before a"),
        (PAIR, (started(PAIR), dispatched("z")), "names 'z', which the definition does not have"),
        (PAIR, (started(PIVOT.model_copy(update={"name": "cruise"})),), "is a saga of 'cruise'"),
        (PAIR, (*BEGUN, rejected("b"), turning(OOPS, "b")), "tells another cause than the first"),
        (PAIR, (*BEGUN, parked("b", NO)), "parks 'b', which is dispatched"),
        (PAIR, (*BEGUN, ev.SagaUnparked(step="b")), "'b' was not parked"),
        (PAIR, (started(PAIR), ev.SagaResumed(**BY)), "comes without a pause"),
        (PAIR, (started(PAIR), ev.CancelRequested(**BY), ev.CancelRequested(**BY)), "comes twice"),
    ],
}  # fmt: skip
CASES = [
    pytest.param(
        *case, id=f"{name}-{number}", marks=[pytest.mark.promise(name)] if name.startswith("inv") else []
    )
    for name, cases in BROKEN.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("definition", "events", "says"), CASES)
def test_it_names_what_breaks_a_promise(definition, events, says):
    complaints = check_history(definition, events)
    assert any(says in complaint for complaint in complaints), complaints
    assert complaints[-1].startswith(f"event {len(events)}, ")


def test_versions_and_due_times_are_checked_where_they_are_recorded():
    graph = plan(act("a", retry=TWICE))
    events = (started(graph), dispatched("a"), again("a", t=5), dispatched("a", 2, t=5))
    early = [Recorded(n, type(e).__name__, at(1), e, {}) for n, e in enumerate(events, start=1)]
    (complaint,) = check_history(graph, early)
    assert "tries 'a' again before" in complaint
    gap = [Recorded(n, type(e).__name__, at(5), e, {}) for n, e in zip((1, 2, 4, 5), events, strict=True)]
    assert "recorded as version 4" in check_history(graph, gap)[0]


@pytest.mark.promise("invariant.12")
def test_what_has_come_to_rest_has_ended_or_is_parked():
    assert check_history(PAIR, [], settled=True) == ["the saga was never started (invariant 12)"]
    (complaint,) = check_history(PAIR, BEGUN, settled=True)
    assert "come to rest running and is not parked" in complaint
    assert check_history(PAIR, (*BEGUN, succeeded("b"), done()), settled=True) == []
    stuck = after(PIVOT, start(), ok("a"), bad("p"))
    assert check_history(PIVOT, stuck.events, settled=True) == []
    reopened = after(plan(act("a")), start(), bad("a"), undone("a"), ok("a", room=0))
    (complaint,) = check_history(reopened.definition, reopened.events, settled=True)
    assert "come to rest failed" in complaint
    assert reopened.state.ending == Ending.RESIDUE
