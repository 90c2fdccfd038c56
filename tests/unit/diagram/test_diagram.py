from __future__ import annotations

from datetime import UTC, datetime

from saga_es.diagram import diagram
from saga_es.history import History
from saga_es.model.commands import Failed, RecordOutcome, StartSaga, Succeeded
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import CompensationDefinition, SagaDefinition, SignalDefinition, StepDefinition
from saga_es.model.events import Recorded
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState

AT = datetime(2026, 11, 24, tzinfo=UTC)


def a_saga(title: str = "book plane ticket") -> SagaDefinition:
    undo = CompensationDefinition(name="cancel_plane", title="cancel plane ticket booking")
    return SagaDefinition(
        name="buy package",
        steps=(
            StepDefinition(name="plane", title=title, compensation=undo),
            StepDefinition(name="charge", title="charge", needs=("plane", "approval"), pivot=True),
        ),
        signals=(SignalDefinition(name="approval", title="approval"),),
        order=("plane", "approval", "charge"),
    )


def after(definition: SagaDefinition, *outcomes: tuple[str, str, Succeeded | Failed]) -> History:
    state, events = SagaState.unborn(definition, "trip-42"), []
    commands = [StartSaga(at=AT, room=9, input=None)]
    commands += [
        RecordOutcome(at=AT, room=9, step=step, op=op, round=1, attempt=1, outcome=outcome)
        for step, op, outcome in outcomes
    ]
    for command in commands:
        decided = decide_with_state(definition, state, command)
        state = decided.state
        events += decided.events
    return History.of(
        "trip-42",
        definition,
        [Recorded(n, type(e).__name__, AT, e, {}) for n, e in enumerate(events, start=1)],
    )


def test_a_plan():
    assert (
        diagram(a_saga())
        == """\
---
title: "buy package v1"
---
flowchart LR
  n0["book plane ticket"]
  u0("cancel plane ticket booking")
  n0 -. undo .-> u0
  n1{{"approval"}}
  n2[["charge"]]
  n0 --> n2
  n1 --> n2"""
    )


def test_a_run_says_how_each_node_stands():
    lost = Problem(kind=ProblemKind.ERROR, type="OSError", message="lost")
    open_run = diagram(after(a_saga()))
    assert 'title: "trip-42: buy package v1 (running)"' in open_run
    assert '  n0["book plane ticket<br/>dispatched"]:::open' in open_run
    assert '  u0("cancel plane ticket booking"):::waiting' in open_run
    assert '  n1{{"approval<br/>awaited"}}:::open' in open_run
    assert '  n2[["charge<br/>waiting"]]:::waiting' in open_run
    assert "  classDef done fill:" in open_run
    failed = diagram(
        after(a_saga(), ("plane", "action", Failed(lost)), ("plane", "compensation", Succeeded(None)))
    )
    assert "(failed, compensated)" in failed
    assert '  n0["book plane ticket<br/>unknown"]:::failed' in failed
    assert '  u0("cancel plane ticket booking<br/>compensated"):::done' in failed


def test_labels_are_escaped():
    chart = diagram(a_saga('say "hi"]; n9 --> n0 <b>#1 & `x`\nmore\x1b[0m'))
    label = "say #quot;hi#quot;]; n9 --#gt; n0 #lt;b#gt;#35;1 #amp; #96;x#96; more\\x1b[0m"
    assert f'  n0["{label}"]\n' in chart
    assert len(chart.splitlines()) == len(diagram(a_saga()).splitlines())


def test_a_plan_with_nothing_to_do():
    assert diagram(SagaDefinition(name="empty")).endswith('flowchart LR\n  n0["nothing to do"]')
