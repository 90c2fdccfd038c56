"""What every test may ask for: stores to test on, PostgreSQL found or started."""

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.promises",
    "tests.support.stores",
    "tests.support.pairs",
]
