"""`eventsourcing`'s subscription to a PostgreSQL log, without what it may miss while it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresSubscription
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

STOP_SECONDS = 0.1
"""How soon it notices that it was stopped."""


class SagaPostgresSubscription(PostgresSubscription):
    """Listens on a connection of its own, and looks at the log once more when it has begun to listen.

    The stock one looks first and listens then, so that it hears of an append between the two with the next one only;
    and it leaves the connection, which goes on listening, to others.

    Args:
        connect: makes a connection of the caller's own.
    """

    def __init__(
        self,
        recorder: PostgresApplicationRecorder,
        connect: Callable[[], psycopg.Connection[DictRow]],
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        self._connect = connect
        super().__init__(recorder, gt=gt, topics=topics)

    def _listen(self) -> None:
        try:
            with closing(self._connect()) as connection:
                connection.execute(SQL("LISTEN {}").format(Identifier(self._recorder.channel_name)))
                self._has_been_notified.set()
                while not self._has_been_stopped and self._thread_error is None:
                    for _ in connection.notifies(timeout=STOP_SECONDS, stop_after=1):
                        self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - raised where the subscription is read
            if self._thread_error is None:
                self._thread_error = error
            self.stop()
