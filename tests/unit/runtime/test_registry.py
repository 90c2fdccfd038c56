from __future__ import annotations

import pytest

from saga_es import DefinitionError, SagaClient, SagaEngine, define, do


async def book(trip: str) -> str:
    return trip


def travel(version: int = 1):
    return define("travel", str, steps=[do(book)], version=version)


@pytest.mark.parametrize("face", [SagaEngine, SagaClient])
def test_what_a_start_asks_of_a_plan_is_worked_out_before_any_loop_runs(face: type):
    """Else the first start of a saga of ten thousand steps stops all others for a sixth of a second."""
    saga = travel()
    definition = saga.definition
    assert "digest" not in vars(definition)

    face("memory://", sagas=[saga])

    assert {"digest", "lane", "plan", "structure"} <= vars(definition).keys()


def test_a_version_can_be_registered_once():
    with pytest.raises(DefinitionError, match="version 1 is registered twice"):
        SagaEngine("memory://", sagas=[travel(), travel(2), travel()])
