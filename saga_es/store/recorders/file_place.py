"""One engine per SQLite file, held by a lock of the operating system's: it dies with its process."""

from __future__ import annotations

import os
from pathlib import Path


class FilePlace:
    """A place that one open file description in the world can hold.

    Args:
        path: a file beside the database. It stays when the place is left, so that two can't lock two files.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._file: int | None = None

    def take(self) -> bool:
        """Take the place; False if it is taken."""
        import fcntl  # noqa: PLC0415 - not on every system, where a client needs no place

        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                return False
            raise
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()}".encode())
        self._file = file
        return True

    def holder(self) -> str | None:
        """Return who said to hold the place, last."""
        try:
            return self._path.read_text(encoding="utf-8") or None
        except OSError:
            return None

    def leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
