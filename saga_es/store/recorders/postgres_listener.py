"""LISTEN on PostgreSQL, on a thread of its own: what is missed while it is not connected is found by polling."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

TURN: Final = 0.25
"""Seconds after which it looks whether it was asked to stop."""

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0


class PostgresListener:
    """Calls ``on_news`` with every payload on a channel; and with "crew" each time it is connected again.

    Args:
        connect: makes a connection of its own.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[DictRow]],
        channel: str,
        on_news: Callable[[str], None],
    ) -> None:
        self._connect, self._channel, self._on_news = connect, channel, on_news
        self._stopped = threading.Event()
        self._hears = False
        self._thread = threading.Thread(target=self._run, name="saga_es-listener", daemon=True)
        self._thread.start()

    @property
    def hears(self) -> bool:
        return self._hears

    def hang_up(self) -> None:
        self._stopped.set()

    def stop(self) -> None:
        self.hang_up()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            with suppress(PersistenceError, psycopg.Error), self._connect() as connection:
                connection.execute(SQL("LISTEN {}").format(Identifier(self._channel)))
                self._hears, pause = True, FIRST_PAUSE
                self._on_news("crew")
                self._hear(connection)
            self._hears = False
            self._stopped.wait(pause * (0.5 + random.random() / 2))  # noqa: S311 - to keep apart those who were cut together
            pause = min(pause * 2, LONGEST_PAUSE)

    def _hear(self, connection: psycopg.Connection[DictRow]) -> None:
        while not self._stopped.is_set():
            for said in connection.notifies(timeout=TURN):
                self._on_news(said.payload)
