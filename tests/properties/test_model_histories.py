"""Random sagas in a random world: every promise that a history can break, checked after every event."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from saga_es.model.definition import SagaDefinition
from saga_es.model.facts import replay_facts, replay_facts_onto
from saga_es.model.state import replay
from saga_es.store.mapper import make_mapper
from saga_es.testing.invariants import check_history
from tests.properties.graphs import definitions
from tests.properties.simulator import SAGA_ID, Simulator

MAPPER = make_mapper()


def check_the_fold_on_trust(saga: Simulator, chance: Random) -> None:
    """Stored and folded without building the events, a history comes to the same state, from any version on."""
    rows = [(it.version, it.type, MAPPER.encode(SAGA_ID, it)[3]) for it in saga.log]
    cut = chance.randint(0, len(rows))
    half = replay_facts(saga.definition, MAPPER.facts(rows[:cut]), saga_id=SAGA_ID)
    assert half == replay(saga.definition, saga.log, cut, saga_id=SAGA_ID)
    whole = replay_facts_onto(half, MAPPER.facts(rows[cut:], after=cut))
    assert whole == saga.state


@given(definitions(), st.integers(min_value=0, max_value=2**32), st.integers(min_value=5, max_value=80))
@pytest.mark.promise("invariant.1", "invariant.2", "invariant.3", "invariant.4", "invariant.5", "invariant.6")
@pytest.mark.promise("invariant.7", "invariant.8", "invariant.9", "invariant.12", "invariant.13")
def test_every_history_keeps_the_invariants(definition: SagaDefinition, seed: int, turns: int):
    saga = Simulator(definition, Random(seed))  # noqa: S311 - chance that can be had again
    try:
        saga.rage(turns)
        assert check_history(definition, saga.log) == []
        saga.settle()
        saga.check_books()
        check_the_fold_on_trust(saga, Random(seed))  # noqa: S311 - the same
    except BaseException:
        for recorded in saga.log:
            note(f"{recorded.version} {recorded.at:%M:%S} {recorded.event!r}")
        raise
