"""Stands between an engine and PostgreSQL, and has every connection cut at one message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlencode

from psycopg.conninfo import conninfo_to_dict

Side = Literal["request", "answer"]


class CuttingProxy:
    """Passes bytes on, on a thread of its own.

    Args:
        dsn: of the server behind it.
        cut: ends the server's connections; called once, on the proxy's thread.
        side: which messages are counted: those to the server, or those from it.
        at: the message, from 1, at which all is cut. A request is cut before it comes to the server, an answer before
            it comes to us: what it answers has been done.

    Attributes:
        messages: how many were counted; those after the cut too.
    """

    def __init__(self, dsn: str, cut: Callable[[], None], *, side: Side, at: int) -> None:
        self._parameters = conninfo_to_dict(dsn)
        self._host = str(self._parameters.pop("host", "127.0.0.1"))
        self._upstream_port = int(self._parameters.pop("port", 5432))
        self._cut, self._side, self._at = cut, side, at
        self.messages = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cutting proxy", daemon=True)
        self._clients: set[asyncio.StreamWriter] = set()
        self._port = 0

    @property
    def dsn(self) -> str:
        """The address to connect to instead."""
        rest = {name: value for name, value in self._parameters.items() if name not in ("user", "dbname")}
        user = f"{self._parameters['user']}@" if "user" in self._parameters else ""
        return f"postgresql://{user}127.0.0.1:{self._port}/{self._parameters['dbname']}?{urlencode(rest)}"

    @property
    def has_cut(self) -> bool:
        return self.messages >= self._at

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._close_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await self._connect()
        both = (writer, back_writer)
        self._clients |= set(both)
        pumps: list[Coroutine[None, None, None]] = [
            self._pump("request", reader, back_writer),
            self._pump("answer", back_reader, writer),
        ]
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(map(asyncio.ensure_future, pumps), return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            self._clients.discard(each)
            each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._upstream_port}")
        return await asyncio.open_connection(self._host, self._upstream_port)

    async def _pump(self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if side == self._side:
                    self.messages += 1
                    if self.messages == self._at:
                        self._cut()
                        self._close_all()
                        return
                writer.write(chunk)
                await writer.drain()

    def _close_all(self) -> None:
        for writer in self._clients:
            writer.transport.abort()
