from __future__ import annotations

from typing import Protocol


class CommitObserver(Protocol):
    """Watches commits from the writer's thread; crash tests end the process here."""

    def before_commit(self, n: int) -> None:
        """The ``n``-th try of a commit (from 1) is about to be made."""
        ...

    def after_commit(self, n: int) -> None:
        """The ``n``-th try is durable, and nobody has been told."""
        ...
