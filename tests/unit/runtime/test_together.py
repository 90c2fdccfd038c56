"""Questions that come at the same time are asked together, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from saga_es.runtime.together import AT_ONCE, MOST, Together


class Clerk:
    """Answers when it is let; what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gates: list[asyncio.Future[Mapping[str, str]]] = []

    async def answer(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        self.gates.append(asyncio.get_running_loop().create_future())
        return await self.gates[-1]

    def let(self, number: int) -> None:
        self.gates[number].set_result({key: key.upper() for key in self.asked[number] if key != "nobody"})


async def settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def asking(together: Together[str], *keys: str) -> list[asyncio.Task[str | None]]:
    return [asyncio.ensure_future(together.ask(key)) for key in keys]


def test_what_comes_in_one_turn_is_one_question():
    async def main():
        clerk = Clerk()
        together = Together(clerk.answer)
        tasks = asking(together, "a", "b", "a", "nobody")
        await settled()
        clerk.let(0)
        return clerk.asked, await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ([["a", "b", "nobody"]], ["A", "B", "A", None])


def test_what_comes_while_as_many_as_may_be_are_under_way_waits_and_is_asked_together():
    async def main():
        clerk = Clerk()
        together = Together(clerk.answer)
        tasks = []
        for number in range(AT_ONCE + 3):
            tasks += asking(together, f"k{number}", "same")
            await settled()
        before = len(clerk.asked)
        clerk.let(1)
        await settled()
        for number in (0, *range(2, AT_ONCE + 1)):
            clerk.let(number)
        return before, clerk.asked[AT_ONCE:], await asyncio.gather(*tasks)

    before, late, answers = asyncio.run(main())
    assert before == AT_ONCE
    assert late == [[f"k{AT_ONCE}", "same", f"k{AT_ONCE + 1}", f"k{AT_ONCE + 2}"]]
    assert answers == [it for number in range(AT_ONCE + 3) for it in (f"K{number}", "SAME")]


def test_a_question_has_its_bounds():
    async def main():
        clerk = Clerk()
        together = Together(clerk.answer)
        tasks = asking(together, *(f"k{number}" for number in range(MOST + 1)))
        await settled()
        for number in range(len(clerk.asked)):
            clerk.let(number)
        await asyncio.gather(*tasks)
        return [len(keys) for keys in clerk.asked]

    assert asyncio.run(main()) == [MOST, 1]


def test_a_failure_is_theirs_who_asked_and_the_next_are_asked_all_the_same():
    async def main():
        clerk = Clerk()
        together = Together(clerk.answer)
        tasks = asking(together, "a", "b")
        await settled()
        clerk.gates[0].set_exception(OSError("away"))
        failed = await asyncio.gather(*tasks, return_exceptions=True)
        later = asking(together, "a")
        await settled()
        clerk.let(1)
        return [str(it) for it in failed], await later[0]

    assert asyncio.run(main()) == (["away", "away"], "A")


def test_whoever_gives_up_keeps_no_other_from_its_answer():
    async def main():
        clerk = Clerk()
        together = Together(clerk.answer)
        gone, there = asking(together, "a", "a")
        await settled()
        gone.cancel()
        clerk.let(0)
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await there

    assert asyncio.run(main()) == "A"
