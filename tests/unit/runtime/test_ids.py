"""The ids of sagas that are given none."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter

import pytest

from saga_es.runtime.ids import AT_ONCE, draw, new_saga_id

MOMENT = 1_795_000_000_123


def test_it_is_a_uuid_of_version_7_that_begins_with_the_moment():
    made = new_saga_id(lambda: MOMENT, lambda _: b"\xff" * 10)

    it = uuid.UUID(made)
    assert (it.version, it.variant, it.int >> 80) == (7, uuid.RFC_4122, MOMENT)
    assert made == f"{MOMENT:012x}7fffbfffffffffffffff"


def test_later_ones_stand_after_earlier_ones():
    moments = [0, 1, MOMENT, MOMENT + 1, 2 * MOMENT]

    made = [new_saga_id(lambda moment=moment: moment) for moment in moments]

    assert made == sorted(made)


def test_those_of_one_moment_differ():
    assert len({new_saga_id(lambda: MOMENT) for _ in range(1_000)}) == 1_000


def test_chance_is_given_once_whoever_asks():
    given: Counter[bytes] = Counter()
    lock = threading.Lock()

    def ask() -> None:
        mine = [draw(MOMENT) for _ in range(10 * AT_ONCE + 1)]
        with lock:
            given.update(mine)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(given.values()) == {1}
    assert {len(chance) for chance in given} == {10}


def copied(asks: int) -> set[bytes]:
    """Return what a forked process is given."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        os.write(here, b"".join(draw(MOMENT) for _ in range(asks)))
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(there, 10 * asks)
    os.close(there)
    os.close(here)
    return {said[start : start + 10] for start in range(0, len(said), 10)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_is_given_others():
    draw(MOMENT)

    theirs = copied(AT_ONCE)

    assert len(theirs) == AT_ONCE
    assert theirs.isdisjoint(draw(MOMENT) for _ in range(AT_ONCE))


def test_what_is_left_of_another_second_is_not_used(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    real = os.urandom

    def urandom(count: int) -> bytes:
        asked.append(count)
        return real(count)

    monkeypatch.setattr("saga_es.runtime.ids.os.urandom", urandom)
    for moment in (MOMENT + 5_000, MOMENT + 5_000, MOMENT + 9_000, MOMENT + 5_000):
        draw(moment)

    assert asked == [10 * AT_ONCE] * 3
