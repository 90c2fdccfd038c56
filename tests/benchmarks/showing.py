"""What compare found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from tests.benchmarks.bars import Bar
from tests.benchmarks.measured import DBOS, OURS, RAW, RAW_100, STOCK, Key, Measured
from tests.benchmarks.measuring import Figures, Ratio
from tests.benchmarks.replaying import Replayed

COMPARED: Final = {"of (a)": RAW, "of (a100)": RAW_100, "of (b)": STOCK, "of DBOS": DBOS}
WIDTH: Final = 20


def table(measured: Measured) -> list[str]:
    head = (
        f"{'store':9}{'case':9}{'who':25}{'at once':>7}{'sagas/s':>9}{'range':>14}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'cpu ms':>8}{'peak MB':>9}   " + "".join(f"{name:{WIDTH}}" for name in COMPARED)
    )
    return [head.rstrip(), *(_line(measured, key) for key in _in_order(measured))]


def _in_order(measured: Measured) -> list[Key]:
    return sorted(measured.runs, key=lambda key: (key[0], key[1] != "happy", key[2] != OURS, key[2], key[3]))


def _line(measured: Measured, key: Key) -> str:
    store, case, who, concurrent = key
    it, ratios = Figures.of(measured.runs[key]), _ratios(measured, key)
    spread = f"{it.slowest:.0f}-{it.fastest:.0f}"
    shown = "".join(f"{ratios.get(name) or '-'!s:{WIDTH}}" for name in COMPARED) if ratios else ""
    return (
        f"{store:9}{case:9}{who:25}{concurrent:7}{it.rate:9.0f}{spread:>14}{it.p50_ms:9.2f}{it.p99_ms:9.2f}"
        f"{it.cpu_ms:8.3f}{_peak(measured, key):9.0f}   {shown}"
    ).rstrip()


def _ratios(measured: Measured, key: Key) -> dict[str, Ratio]:
    """Return our rate over each peer's; nothing for a peer's own line."""
    store, case, who, concurrent = key
    if who != OURS:
        return {}
    found = {name: measured.ratio(store, case, concurrent, peer) for name, peer in COMPARED.items()}
    return {name: ratio for name, ratio in found.items() if ratio}


def _peak(measured: Measured, key: Key) -> float:
    return max(run.peak_mb for run in measured.runs[key])


def payloads(events: Mapping[tuple[str, str], int], measured: Measured) -> list[str]:
    """Return what each peer stores for one saga, a line for each store and case.

    Args:
        events: bytes of our events, by store and case; raw SQL writes the same.
    """
    lines: list[str] = []
    for (store, case), ours in events.items():
        theirs = {
            who: runs[-1].stored
            for (where, which, who, _), runs in measured.runs.items()
            if (where, which) == (store, case) and runs[-1].stored
        }
        same = OURS if store == "memory" else f"{OURS} and raw SQL"
        said = ", ".join(f"{who} {stored:,}" for who, stored in {same: ours, **theirs}.items())
        lines.append(f"payload of a saga, {store}, {case}, bytes: {said}")
    return lines


def as_json(
    said: Sequence[str],
    stored: Sequence[str],
    measured: Measured,
    replays: Sequence[Replayed],
    bars: Sequence[Bar],
) -> str:
    """Return all that is printed, and each repetition's rate."""
    rows = [_row(measured, key) for key in _in_order(measured)]
    found = {
        "said": [*said, *stored],
        "sagas": rows,
        "replay": [asdict(it) for it in replays],
        "bars": [{**asdict(bar), "passed": bar.passed} for bar in bars],
    }
    return json.dumps(found, indent=1) + "\n"


def _row(measured: Measured, key: Key) -> dict[str, object]:
    store, case, who, concurrent = key
    runs = measured.runs[key]
    return {
        "store": store,
        "case": case,
        "who": who,
        "concurrent": concurrent,
        **asdict(Figures.of(runs)),
        "peak_mb": _peak(measured, key),
        "stored": runs[-1].stored,
        "rates": [run.rate for run in runs],
        "p50s_ms": [1000 * run.p50 for run in runs],
        "ratios": {name: asdict(ratio) for name, ratio in _ratios(measured, key).items()},
    }
