"""``saga-es copy``: from one store to another, SQLite to PostgreSQL say."""

from __future__ import annotations

import sys
from typing import Final

import click
from pydantic import JsonValue

from saga_es.cli.reading import check_is_there
from saga_es.cli.terminal import say, write_json
from saga_es.cli.values import dumps
from saga_es.history.text import printable
from saga_es.store.address import shown
from saga_es.store.copying import Copied, Tell, both_held, check_addresses, copy_store

CLEAR: Final = "\r\x1b[K"


def run_copy(source: str, target: str, *, migrate: bool, as_json: bool) -> None:
    """Copy all that is recorded at one address to another, and say what it was."""
    check_addresses(source, target)
    check_is_there(source)
    try:
        with both_held(source, target, migrate=True if migrate else None) as (held_source, held_target):
            copied = copy_store(held_source, held_target, tell=_progress())
    except (KeyboardInterrupt, SystemExit):
        click.echo(
            "Interrupted; do it again to go on. Use the target with no engine or client before it is done.",
            err=True,
        )
        raise
    finally:
        if sys.stderr.isatty():
            click.echo(CLEAR, err=True, nl=False)
    if as_json:
        write_json(dumps(copied_value(copied, shown(source), shown(target))))
    else:
        say(in_words(copied, printable(shown(target))))


def copied_value(copied: Copied, source: str, target: str) -> JsonValue:
    """``copy --json``: what was found at one address, and is at the other now."""
    return {
        "from": source,
        "to": target,
        "sagas": copied.sagas,
        "unfinished": copied.unfinished,
        "events": copied.events,
        "were_there": copied.were_there,
    }


def in_words(copied: Copied, target: str) -> str:
    """Return what a copy comes to, as a line."""
    before = f" ({copied.were_there:,} of them were there before)" if copied.were_there else ""
    sagas, events = _counted(copied.sagas, "saga"), _counted(copied.events, "event")
    return f"{sagas} ({copied.unfinished:,} unfinished), {events} are in {target}{before}."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _progress() -> Tell | None:
    """Return what tells a person how far it is; nothing where nobody looks."""
    if not sys.stderr.isatty():
        return None

    def tell(events: int, position: int, end: int) -> None:
        share = min(100, 100 * position // max(end, 1))
        click.echo(f"{CLEAR}{_counted(events, 'event')} ({share} %)", err=True, nl=False)

    return tell
