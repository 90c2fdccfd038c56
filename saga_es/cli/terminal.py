"""How text gets out: to a terminal or a pipe, in whatever encoding, without ever ending in a traceback."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Final

import click

from saga_es.cli.values import safe
from saga_es.errors import (
    InvalidInput,
    MissingExtra,
    SagaError,
    StoreSchemaError,
    StoreUnavailable,
)
from saga_es.history.text import printable

_PLAIN: Final = {"❗": "!", "✔": "+", "❌": "x", "→": "->", "…": "...", "·": "-"}
_ERRORS: Final = "saga_es.plain"


class DefiniteNo(click.ClickException):
    """The answer is no: an unknown saga, a check that failed."""

    exit_code = 1


class StoreOutOfReach(click.ClickException):
    """The store can't be reached, or can't be read by this saga_es."""

    exit_code = 3


class Verbs(click.Group):
    """The verbs, with this library's errors as exit codes: 1 a definite no, 2 wrong usage, 3 no store."""

    def invoke(self, ctx: click.Context) -> object:
        use_any_encoding()
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except InvalidInput as error:
            raise click.UsageError(printable(str(error)), ctx) from error
        except (StoreUnavailable, StoreSchemaError, MissingExtra) as error:
            raise StoreOutOfReach(printable(str(error))) from error
        except SagaError as error:
            raise DefiniteNo(printable(str(error))) from error


def use_any_encoding() -> None:
    """Let stdout and stderr replace what their encoding lacks, the trace's marks by plain letters."""
    codecs.register_error(_ERRORS, _in_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or _escaped(char) for char in lost), error.end


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode("ascii")


def say(text: str = "") -> None:
    """Print a line for a person."""
    click.echo(text)


def write_json(text: str) -> None:
    """Write JSON as UTF-8, whatever the terminal's encoding is."""
    click.echo(text.encode())


def write_exactly(text: str) -> None:
    """Write UTF-8 byte for byte; where somebody looks at it, with a newline and nothing that a terminal would obey."""
    if sys.stdout.isatty():
        click.echo(safe(text).encode())
    else:
        click.echo(text.encode(), nl=False)
