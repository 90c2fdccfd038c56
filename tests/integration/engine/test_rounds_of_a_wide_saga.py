"""A saga with more steps than may be in flight goes round by round, and each round is one commit."""

from __future__ import annotations

import asyncio

import pytest

from saga_es import SagaEngine, Settings, define, do


class Commits:
    """Counts what the writer commits."""

    def __init__(self) -> None:
        self.done = 0

    def before_commit(self, n: int) -> None:
        pass

    def after_commit(self, n: int) -> None:
        self.done = n


class Hall:
    """Counts who is in it at once."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def step(self, _: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return 0


@pytest.mark.promise("field.Settings.max_in_flight_per_saga", "case.huge-fan-out")
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_answers_that_come_together_are_recorded_with_what_they_make_room_for(limit: int):
    hall = Hall()

    async def main() -> int:
        commits = Commits()
        wide = define("wide", int, steps=[do(hall.step, name=f"step_{number}") for number in range(6)])
        settings = Settings(max_in_flight_per_saga=limit)
        async with SagaEngine("memory://", sagas=[wide], settings=settings, observer=commits) as engine:
            assert (await engine.run(wide, 0)).status == "succeeded"
        return commits.done

    rounds = 6 // limit

    assert asyncio.run(main()) == 1 + rounds
    assert hall.most == limit


@pytest.mark.promise("field.Settings.max_in_flight")
def test_sagas_that_are_decided_together_share_the_engines_places():
    hall = Hall()

    async def main() -> None:
        wide = define("wide", int, steps=[do(hall.step, name=f"step_{number}") for number in range(7)])
        async with SagaEngine("memory://", sagas=[wide], settings=Settings(max_in_flight=3)) as engine:
            outcomes = await asyncio.gather(*(engine.run(wide, number) for number in range(5)))
        assert {outcome.status for outcome in outcomes} == {"succeeded"}

    asyncio.run(main())
    assert hall.most == 3
