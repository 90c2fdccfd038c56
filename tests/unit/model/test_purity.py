"""The ground floor touches nothing: no clock, no chance, no file, no socket, no event loop."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import saga_es.model
from tests.unit.model.plans import act, after, bad, ok, plan, start, undone, wait

ROOM = Path(saga_es.model.__file__).parent
WORLD = {
    "asyncio",
    "eventsourcing",
    "io",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "threading",
    "time",
    "uuid",
}
READS_THE_CLOCK = {"now", "utcnow", "today"}

REPLAY = """
import json, sys
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import EVENT_TYPES
from saga_es.model.react import react
from saga_es.model.state import replay
told = json.load(sys.stdin)
plan = SagaDefinition.from_json_value(told["plan"])
events = [EVENT_TYPES[name].model_validate_json(data) for name, data in told["events"]]
done = []
def forbid(event, args):
    if not done:
        raise SystemExit(f"replay did {event}")
sys.addaudithook(forbid)
state = replay(plan, events)
effects = react(plan, state)
done.append(True)
print(state.status.value, state.version, len(effects))
"""


@pytest.mark.parametrize("module", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.promise("invariant.10")
def test_no_module_of_the_model_knows_the_world(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & WORLD
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in WORLD
        elif isinstance(node, ast.Attribute):
            assert node.attr not in READS_THE_CLOCK


@pytest.mark.promise("invariant.10")
def test_a_replay_calls_nobody_and_opens_nothing():
    graph = plan(act("a"), act("b"), wait("w", timeout=60))
    saga = after(graph, start(), ok("a", 7), bad("b"), undone("a"), ok("b", 8))
    told = {
        "plan": graph.to_json_value(),
        "events": [(type(event).__name__, event.model_dump_json()) for event in saga.events],
    }
    asked = subprocess.run(
        [sys.executable, "-c", REPLAY], input=json.dumps(told), capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split() == ["compensating", str(len(saga.events)), "1"]
