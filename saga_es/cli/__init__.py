"""The command line, ``saga-es``. Imported by the command alone: ``import saga_es`` does not load click."""

from saga_es.cli.command import main

__all__ = ["main"]
