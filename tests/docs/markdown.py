"""Pieces of Markdown, and types and docstrings in words."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, JsonValue

from saga_es.model.events import LateSuccess
from saga_es.model.lifecycle import Ending
from saga_es.model.problem import Problem

NAMED: Final = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
    datetime: "time",
    timedelta: "duration",
    AwareDatetime: "time",
    JsonValue: "any JSON",
    Problem: "[problem](#problem)",
    LateSuccess: "success",
    Ending: "string",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def in_words(annotation: Any) -> str:
    """Return an annotation as the JSON it stands for."""
    if annotation in NAMED:
        return NAMED[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(in_words, arguments)))
    if origin is Literal:
        return "string"
    if origin is tuple:
        return f"array of {in_words(arguments[0])}s"
    return f"`{getattr(annotation, '__name__', annotation)}`"


def attributes(cls: type) -> dict[str, str]:
    """Return what a class's docstring says of its attributes, by name."""
    section = (cls.__doc__ or "").partition("Attributes:\n")[2]
    said: dict[str, str] = {}
    for names, text in re.findall(r"^        ([\w, ]+): (.+(?:\n            .+)*)", section, re.MULTILINE):
        for name in names.split(", "):
            said[name] = " ".join(text.split())
    return said


def summary(cls: type) -> str:
    """Return a docstring without its sections, as Markdown."""
    text = re.split(r"\n\s*(?:Args|Attributes|Raises|Returns):\n", cls.__doc__ or "")[0]
    return " ".join(text.split()).replace("``", "`")
