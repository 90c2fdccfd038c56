"""What every test may ask for: stores to test on, PostgreSQL found or started."""

import os

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
