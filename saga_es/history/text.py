"""Text for people: one line stays one line, and nothing in it drives a terminal."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

_BREAKS: Final = re.compile(r"[ \t]*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+[\s]*")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS: Final = frozenset("\u200c\u200d")  # scripts and emoji are spelled with these two; they move nothing


def printable(text: str) -> str:
    r"""Return ``text`` as one harmless line.

    Line breaks, with the blanks around them, become one space; other control characters, bidirectional
    overrides and lone surrogates are escaped (``\x1b``, ``\u202e``), so that a message can neither add a
    line to a trace nor move a terminal's cursor.
    """
    joined = _BREAKS.sub(" ", text)
    if joined.isprintable():
        return joined
    return "".join(map(_escaped, joined))


def _escaped(char: str) -> str:
    if char in _JOINERS or unicodedata.category(char) not in _UNSEEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def instant(at: datetime) -> str:
    """Return an aware datetime as ``2026-11-24T05:00:00.123456Z``: UTC, always with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def by_whom(by: str, reason: str) -> str:
    """Return ``ann: paid by phone``, or ``ann`` where no reason was given."""
    return f"{by}: {reason}" if reason else by
