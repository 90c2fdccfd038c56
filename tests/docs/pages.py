"""The documentation's pages, read for what a test can check: code, the output shown for it, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
RUN: Final = frozenset({"python", "sh"})
FENCE: Final = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK: Final = re.compile(r"<!-- (file|not run): (.+?) -->\s*\Z")
LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TIMES: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-11-24 05:00:00"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "2026-11-24T05:00:00.123456Z"),
    (re.compile(r"\((?:\d+ ms|\d+\.\d s|\d+:\d\d:\d\d)\)"), "(7 ms)"),
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: of its first line of text, in its page.
        file: the file that a reader saves it as, instead of running it at once.
        not_run: why nobody runs it.
        output: what the page shows below it as printed; empty where nothing is.
    """

    line: int
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    output: str = ""

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.not_run is None


def pages() -> list[Path]:
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    ]


def blocks(text: str) -> list[Block]:
    """Return a page's blocks; one without a language, right after one that is run, is what that prints."""
    found: list[Block] = []
    for fence in FENCE.finditer(text):
        language, body = fence.groups()
        before = found[-1] if found else None
        if (
            not language
            and before is not None
            and before.is_run
            and before.file is None
            and not before.output
        ):
            found[-1] = Block(before.line, before.language, before.text, output=body)
            continue
        line = text.count("\n", 0, fence.start()) + 2
        mark = MARK.search(text, 0, fence.start())
        said = {mark[1]: mark[2]} if mark else {}
        found.append(Block(line, language, body, said.get("file"), said.get("not run")))
    return found


def timeless(text: str) -> str:
    """Return printed text with its instants and durations made the same: nobody can foretell those."""
    for pattern, same in TIMES:
        text = pattern.sub(same, text)
    return text.rstrip()


def links(text: str) -> Iterator[str]:
    """Yield where a page's links lead, those in its code aside."""
    yield from LINK.findall(re.sub(r"`[^`\n]+`", "", FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}
