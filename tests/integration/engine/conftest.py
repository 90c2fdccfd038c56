from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.engine.world import House
from tests.support.stores import Place, place_of


def house_of(place: Place) -> House:
    if place.kind != "memory":
        place.open()  # makes the tables, as an administrator does
    return House(place)


@pytest.fixture
def house(place: Place) -> House:
    """On every kind of store; what is in memory is the engine's own, and gone with it."""
    return house_of(place)


@pytest.fixture
def lasting(shared_place: Place) -> House:
    """On every kind of store that outlives its engine."""
    return house_of(shared_place)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[House]:
    """On SQLite, for what does not depend on the store."""
    with ExitStack() as stack:
        yield house_of(place_of("sqlite", lambda _: "", tmp_path, stack))
