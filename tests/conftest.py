"""What every test may ask for: stores to test on, PostgreSQL found or started."""

import os
from pathlib import Path
from typing import Final

import pytest

LONG: Final = {Path(__file__).parent / folder for folder in ("chaos", "integration/crash")}
"""Where tests take minutes: they begin first, so that no process is left alone with one when all others are done."""

pytest_plugins = [
    "tests.support.compiled",
    "tests.support.postgres",
    "tests.support.promises",
    "tests.support.stores",
    "tests.support.pairs",
]


def pytest_configure() -> None:
    """Keep this session's options from those that tests start as processes of their own."""
    os.environ.pop("PYTEST_ADDOPTS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parents))
