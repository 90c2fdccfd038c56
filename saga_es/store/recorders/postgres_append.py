"""What the one statement of an append is put together from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """Something without which nothing is appended.

    Attributes:
        before: a query of the WITH list, before the events are written.
        missing: is added to the query "gap", and finds a row where it does not hold.
        answer: what the statement returns of it.
    """

    before: str
    missing: str
    answer: str


def listed(name: str, of: str = "text") -> str:
    """Return an array that is bound as lines: psycopg takes ten times as long to write an array of its own."""
    return f"string_to_array(%({name})s, E'\\n')::{of}[]"
