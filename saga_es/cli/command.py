"""The verbs of ``saga-es``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict, TypeVar, Unpack

import click

from saga_es.cli import values, words
from saga_es.cli.exits import terminable
from saga_es.cli.reading import opened, read_history
from saga_es.cli.terminal import Verbs, say, write_exactly, write_json
from saga_es.model.lifecycle import SagaStatus

F = TypeVar("F", bound=Callable[..., object])


class Wanted(TypedDict):
    """The filters of ``list``, as click passes them."""

    status: str | None
    definition: str | None
    parked: bool | None
    limit: int
    after: str | None


def _reading(verb: F) -> F:
    """Give a verb that reads its ``--json`` and its own ``--store``."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    return as_json(_with_store(verb))


def _with_store(verb: F) -> F:
    return click.option("--store", "own_url", metavar="URL", help="The store; also before the verb.")(verb)


@click.group(
    cls=Verbs,
    epilog="Exit codes: 0 done, 1 a definite no (an unknown saga), 2 wrong usage, 3 the store can't be reached.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--store",
    "url",
    metavar="URL",
    envvar="SAGA_ES_STORE",
    help="sqlite:///relative.db, sqlite:////absolute.db or postgresql://…; also as SAGA_ES_STORE.",
)
@click.version_option(package_name="saga_es")
@click.pass_context
def main(ctx: click.Context, url: str | None) -> None:
    """Look at sagas from their recorded history, and prepare or copy their store."""
    ctx.obj = url


@main.command("list")
@_reading
@click.option("--status", type=click.Choice([status.value for status in SagaStatus]), help="Only these.")
@click.option("--definition", metavar="NAME", help="Only sagas of this definition.")
@click.option("--parked/--not-parked", default=None, help="Only those that wait for somebody, or do not.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@click.option("--after", metavar="CURSOR", help="Go on from where the last page ended.")
@click.pass_obj
def list_(url: str | None, own_url: str | None, as_json: bool, **wanted: Unpack[Wanted]) -> None:  # noqa: FBT001 - click passes it by name
    """List sagas, the newest first."""
    status = wanted["status"]
    with opened(own_url or url) as store:
        page = store.find(
            status=None if status is None else SagaStatus(status),
            definition=wanted["definition"],
            parked=wanted["parked"],
            limit=wanted["limit"],
            after=wanted["after"],
        )
    if as_json:
        write_json(values.dumps(values.page_value(page)))
    else:
        for line in words.listing(page):
            say(line)


@main.command()
@click.argument("saga_id", metavar="ID")
@_reading
@click.pass_obj
def show(url: str | None, own_url: str | None, saga_id: str, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Show how a saga stands: its status in words, its trace, what remains."""
    with opened(own_url or url) as store:
        history = read_history(store, saga_id)
        summary = store.summary(saga_id)
    if as_json:
        write_json(values.dumps(values.saga_value(history, summary)))
    else:
        for line in words.account(history, summary):
            say(line)


@main.command()
@click.argument("saga_id", metavar="ID")
@_reading
@click.pass_obj
def events(url: str | None, own_url: str | None, saga_id: str, as_json: bool) -> None:  # noqa: FBT001 - the same
    """Print a saga's events, in the log's order and with their times."""
    with opened(own_url or url) as store:
        history = read_history(store, saga_id)
    if as_json:
        write_json(values.events_json(history))
    else:
        for line in words.log(history):
            say(line)


@main.command()
@click.argument("saga_id", metavar="ID")
@_reading
@click.pass_obj
def export(url: str | None, own_url: str | None, saga_id: str, as_json: bool) -> None:  # noqa: ARG001, FBT001 - it is JSON anyway
    """Write a saga's history as JSON: all of it, plan and events, readable without anybody's code."""
    with opened(own_url or url) as store:
        history = read_history(store, saga_id)
    write_exactly(history.to_json())


@main.command()
@_with_store
@click.pass_obj
def migrate(url: str | None, own_url: str | None) -> None:
    """Make or upgrade the store's tables; doing it again is harmless."""
    with opened(own_url or url, migrate=True) as store:
        say(f"The tables of {store.url} are up to date.")


@main.command()
@click.option(
    "--from", "source", metavar="URL", required=True, help="The store to copy; no engine may be in it."
)
@click.option("--to", "target", metavar="URL", required=True, help="The store to copy to; no engine either.")
@click.option(
    "--migrate",
    is_flag=True,
    help="Make or upgrade the target's tables first; SQLite's are made anyway, as an engine does.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def copy(source: str, target: str, migrate: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes them by name
    """Copy all sagas, unfinished ones too, from one store to another, with what is recorded of each.

    Stop the engines of both stores first, and the clients. Done again, it goes on where it was interrupted: what the
    target has already is compared, and never overwritten. What is encrypted or compressed is copied as it is.
    """
    from saga_es.cli.copy import run_copy  # noqa: PLC0415 - what writes is loaded for this verb alone

    with terminable():
        run_copy(source, target, migrate=migrate, as_json=as_json)


@main.command()
@click.option(
    "--pace", type=click.FloatRange(0, 10), default=0.4, show_default=True, help="Seconds a call takes."
)
@click.option(
    "--keep",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the log and the bookings there, to look at afterwards.",
)
def demo(pace: float, keep: Path | None) -> None:
    """Sell a trip to Rio: a success, a failure that is undone, and a crash that is survived."""
    from saga_es.cli.demo import run_demo  # noqa: PLC0415 - the engine is loaded for this verb alone

    with terminable(), ExitStack() as stack:
        directory = keep or Path(stack.enter_context(TemporaryDirectory(prefix="saga-es-demo-")))
        run_demo(directory, timedelta(seconds=pace), kept=keep is not None)
