"""Draws what compare found, as SVG or PNG: python -m tests.benchmarks.picture figures.json performance.svg

For each store a row: sagas a second, happy and failing, with 50 at once where the peer knows how; and beside it how
long one saga alone takes. The scales are logarithmic, since a linear one would show nothing but the longest bar.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.measured import CROWD, DBOS, OURS, RAW, RAW_100, STOCK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]  # Any: a row of the figures as JSON
Figures = Mapping[str, Any]  # Any: the same

FAST: Final = (OURS, DBOS, STOCK, RAW, RAW_100)
ALONE: Final = (OURS, DBOS, STOCK, RAW)
LABELS: Final = {
    OURS: "saga_es",
    DBOS: "DBOS",
    STOCK: "(b) aggregate",
    RAW: "(a) raw SQL",
    RAW_100: "(a100) raw SQL, 100 a commit",
}
STORES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
COLOURS: Final = {OURS: "#0b6e4f", DBOS: "#c8553d"}
OTHERS, INK, FAINT = "#8d99ae", "#222222", "#6b7280"
LIGHTER: Final = 0.45
"""The opacity of a failing bar, below its happy one."""

RC: Final[Any] = {  # Any: matplotlib's type of its own options lists them all
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's own font
    "svg.hashsalt": "saga_es",  # the same figures make the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
}


def refuse_without_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise SystemExit("a picture needs matplotlib: pip install 'saga_es[bench]'")


@dataclass(frozen=True)
class Mark:
    """A bar: at which place of the list from above, how long, whose, and what stands beside it."""

    place: float
    value: float
    who: str
    said: str
    height: float = 0.5
    opacity: float = 1.0


def draw(figures: Figures, path: Path) -> None:
    """Draw the figures of a run, as `showing.as_json` writes them."""
    refuse_without_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = {store: [row for row in figures["sagas"] if row["store"] == store] for store in STORES}
    stores = [store for store, found in rows.items() if found]
    if not stores:
        raise SystemExit("there is nothing to draw: the figures are of neither SQLite nor PostgreSQL")
    with mpl.rc_context(RC):
        figure = Figure(figsize=(10.2, 0.7 + 2.75 * len(stores)), layout="constrained", facecolor="white")
        axes = figure.subplots(len(stores), 2, squeeze=False, width_ratios=(1.55, 1))
        for column, (marks_of, title) in enumerate(COLUMNS):
            marks = {store: marks_of(rows[store]) for store in stores}
            limits = limits_of([mark.value for each in marks.values() for mark in each])
            for line, store in enumerate(stores):
                fill(axes[line][column], marks[store], limits)
                at_once = crowd_of(rows[store])
                axes[line][column].set_title(title.format(store=STORES[store], at_once=at_once))
        figure.supxlabel(caption_of(figures), fontsize=7.5, color=FAINT)
        save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write the file, the same one for the same figures."""
    is_svg = path.suffix == ".svg"
    figure.savefig(path, dpi=150, metadata={"Date": None} if is_svg else {})
    if is_svg:  # matplotlib leaves blanks at the ends of lines
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")


def rates_of(rows: Sequence[Row]) -> list[Mark]:
    """Return two marks for each: happy, and below it, lighter, failing."""
    marks: list[Mark] = []
    present = [who for who in FAST if rate_row(rows, who, "happy")]
    for place, who in enumerate(present):
        for case, offset, opacity in (("happy", -0.2, 1.0), ("failing", 0.2, LIGHTER)):
            row = rate_row(rows, who, case)
            if row:
                said = f"{row['rate']:,.0f} {case}"
                marks.append(Mark(place + offset, row["rate"], who, said, height=0.38, opacity=opacity))
    return marks


def latencies_of(rows: Sequence[Row]) -> list[Mark]:
    found = {who: row_of(rows, who, "happy", 1) for who in ALONE}
    values = {who: row["p50_ms"] for who, row in found.items() if row}
    return [
        Mark(place, value, who, f"{value:.{0 if value >= 10 else 1 if value >= 1 else 2}f} ms")
        for place, (who, value) in enumerate(values.items())
    ]


COLUMNS: Final = (
    (rates_of, "{store}: sagas a second, {at_once} at once"),
    (latencies_of, "{store}: one saga alone, p50"),
)


def fill(axes: Axes, marks: Sequence[Mark], limits: tuple[float, float]) -> None:
    for mark in marks:
        colour = COLOURS.get(mark.who, OTHERS)
        axes.barh(
            mark.place,
            mark.value - limits[0],
            mark.height,
            left=limits[0],
            color=colour,
            alpha=mark.opacity,
            linewidth=0,
        )
        beside = (mark.value, mark.place)
        axes.annotate(mark.said, beside, xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    names = list(dict.fromkeys(LABELS[mark.who] for mark in marks))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.tick_params(length=0)
    axes.xaxis.set_visible(False)  # each bar says its figure
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(FAINT)


def limits_of(values: Sequence[float]) -> tuple[float, float]:
    """Return one scale for all stores, which begins well below the shortest bar and leaves room for labels."""
    least, most = min(values), max(values)
    low = 10.0 ** (math.floor(math.log10(least)) - 1)
    return low, most * (most / low) ** 0.3


def rate_row(rows: Sequence[Row], who: str, case: str) -> Row | None:
    """Return the row of who does so many at once, or of who does one after another."""
    return row_of(rows, who, case, crowd_of(rows)) or row_of(rows, who, case, 1)


def crowd_of(rows: Sequence[Row]) -> int:
    """Return 50, or the nearest to it that was measured."""
    return int(min((row["concurrent"] for row in rows if row["who"] == OURS), key=lambda it: abs(it - CROWD)))


def row_of(rows: Sequence[Row], who: str, case: str, concurrent: int) -> Row | None:
    wanted = (who, case, concurrent)
    return next((row for row in rows if (row["who"], row["case"], row["concurrent"]) == wanted), None)


def caption_of(figures: Figures) -> str:
    machine = figures["said"][0]
    return f"Logarithmic scales; (a), (a100) and (b) do one after another. Medians of one run on\n{machine}."


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.picture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figures", type=Path, help="what compare wrote with --json")
    parser.add_argument("picture", type=Path, help="the file to draw, .svg or .png")
    asked = parser.parse_args(given)
    draw(json.loads(asked.figures.read_text(encoding="utf-8")), asked.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
