"""The page about the command line, from its commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from saga_es.cli.command import main
from tests.docs.markdown import table
from tests.docs.sentences import VERBS


def cli(examples: Mapping[str, str]) -> Iterator[str]:
    """Yield the page's parts; ``examples`` shows what a verb prints with ``--json``."""
    yield "# Command line"
    yield (
        "`saga-es` comes with the core install; `python -m saga_es.cli` is the same. It reads what is recorded, with "
        "no code of yours, beside a running engine too. Text that came from outside is made printable: control "
        "characters are escaped. Where the output's encoding lacks the marks, plain letters stand for them; "
        "`NO_COLOR` is respected."
    )
    yield "```text\nsaga-es [--store URL] VERB …\n```"
    yield _options(main)
    yield str(main.epilog)
    for name, command in main.commands.items():
        yield f"## {name}"
        arguments = "".join(f" {it.metavar}" for it in command.params if isinstance(it, click.Argument))
        yield f"```text\nsaga-es {name}{arguments} [OPTIONS]\n```"
        yield " ".join((command.help or "").split()) + " " + VERBS[name]
        yield _options(command)
        if name in examples:
            yield f"With `--json`:\n\n```json\n{examples[name]}\n```"


def _options(command: click.Command) -> str:
    rows = [_option(it) for it in command.params if isinstance(it, click.Option) and it.name != "version"]
    return table(["option", "meaning"], rows)


def _option(option: click.Option) -> list[str]:
    value = option.metavar or (
        "" if option.is_flag else " or ".join(getattr(option.type, "choices", ["NUMBER"]))
    )
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = f" By default {option.default}." if option.show_default else ""
    return [f"{names} {value}".strip(), f"{option.help}{default}"]
