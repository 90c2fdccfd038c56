from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

LATEST: Final = datetime.max.replace(tzinfo=UTC)


def later(at: datetime, span: timedelta) -> datetime:
    """Return ``at`` (aware UTC) plus ``span``; past the end of the calendar, its last instant."""
    try:
        return at + span
    except OverflowError:
        return LATEST
