"""What participants did, written down by themselves: so that a test can see whether it balances."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from saga_es.authoring.attempt import Attempt
from saga_es.errors import Rejected
from saga_es.model.events import Op

Effect = Literal["acted", "undone", "prevented", "known", "refused"]
EFFECTS: Final = frozenset({"acted", "undone", "prevented"})
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (
    place INTEGER PRIMARY KEY, saga_id TEXT NOT NULL, step TEXT NOT NULL, op TEXT NOT NULL, key TEXT NOT NULL,
    action_key TEXT NOT NULL, number INTEGER NOT NULL, process INTEGER NOT NULL, effect TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that a participant got, and what it did.

    Attributes:
        place: in the ledger, from 1.
        number: the attempt's.
        process: the id of the process that made the call.
        effect: ``acted`` and ``undone`` as they say; ``prevented``: undone before it came, so that it will be
            refused if it still does; ``known``: the same key again, nothing was done; ``refused``: nothing was done.
    """

    place: int
    saga_id: str
    step: str
    op: Op
    key: str
    action_key: str
    number: int
    process: int
    effect: Effect


class Ledger:
    """Participants that keep what they promise: one effect for each key, and none after it was undone.

    Each call is a durable transaction of its own in an SQLite file, as that of a service's own database would be.

    Args:
        path: of the file; made if it is missing.
        after_call: called once a call is durable and before it answers; ``Crash.call_made``.
    """

    def __init__(self, path: Path, *, after_call: Callable[[], None] = lambda: None) -> None:
        self._path, self._after_call = path, after_call
        with self._transaction() as db:
            db.execute(SCHEMA)

    def act(self, attempt: Attempt) -> int:
        """Have the effect, once for each key, and return its place in the ledger; Rejected if it was undone."""
        with self._transaction() as db:
            done = self._done(db, attempt)
            effect: Effect = "refused" if done & {"undone", "prevented"} else "known" if done else "acted"
            self._write(db, attempt, effect)
            query = "SELECT min(place) FROM calls WHERE action_key = ? AND effect = 'acted'"
            (place,) = db.execute(query, [attempt.action_key]).fetchone()
        self._after_call()
        if effect == "refused":
            raise Rejected(f"{attempt.key} was undone before it came")
        return int(place)

    def undo(self, attempt: Attempt) -> None:
        """Undo the effect of the action's key; if there is none yet, see that there never will be."""
        with self._transaction() as db:
            done = self._done(db, attempt)
            effect: Effect = "undone" if done == {"acted"} else "known" if done else "prevented"
            self._write(db, attempt, effect)
        self._after_call()

    def refuse(self, attempt: Attempt, why: str) -> Rejected:
        """Note that nothing is done for a call, and return what to raise."""
        with self._transaction() as db:
            self._write(db, attempt, "refused")
        self._after_call()
        return Rejected(why)

    # -- looking at it -------------------------------------------------------------------------------

    def entries(self, saga_id: str) -> tuple[Entry, ...]:
        """Return all calls for a saga, in the order they came."""
        with self._transaction() as db:
            return tuple(
                Entry(*row)
                for row in db.execute("SELECT * FROM calls WHERE saga_id = ? ORDER BY 1", [saga_id])
            )

    def standing(self, saga_id: str) -> frozenset[str]:
        """Return the steps whose effect stands."""
        entries = self.entries(saga_id)
        undone = {entry.action_key for entry in entries if entry.effect == "undone"}
        return frozenset(e.step for e in entries if e.effect == "acted" and e.action_key not in undone)

    def complaints(self, saga_id: str, *, stands: Collection[str]) -> tuple[str, ...]:
        """Return, in sentences, what does not balance; empty if all does.

        A key has one effect at most, and each process makes an attempt once: only another one, after a crash,
        makes it again.

        ``stands`` names the steps whose effects have to stand, and no others.
        """
        entries = self.entries(saga_id)
        found: list[str] = []
        if (standing := self.standing(saga_id)) != frozenset(stands):
            found.append(f"{sorted(standing)} stand, not {sorted(stands)}")
        effects = Counter(entry.key for entry in entries if entry.effect in EFFECTS)
        found += [f"{key} had {n} effects" for key, n in effects.items() if n > 1]
        calls = Counter((entry.key, entry.number, entry.process) for entry in entries)
        found += [
            f"process {process} made attempt {number} of {key} {n} times"
            for (key, number, process), n in calls.items()
            if n > 1
        ]
        return tuple(found)

    # -- the file ------------------------------------------------------------------------------------

    @staticmethod
    def _done(db: sqlite3.Connection, attempt: Attempt) -> set[str]:
        query = "SELECT effect FROM calls WHERE action_key = ? AND effect IN ('acted', 'undone', 'prevented')"
        return {effect for (effect,) in db.execute(query, [attempt.action_key])}

    @staticmethod
    def _write(db: sqlite3.Connection, attempt: Attempt, effect: Effect) -> None:
        db.execute(
            "INSERT INTO calls (saga_id, step, op, key, action_key, number, process, effect)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                attempt.saga_id,
                attempt.step,
                attempt.op,
                attempt.key,
                attempt.action_key,
                attempt.number,
                os.getpid(),
                effect,
            ],
        )

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # what was not committed is rolled back
