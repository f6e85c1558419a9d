# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows and targets of a benchmark: JSON for programs, a table for people."""
import json
import statistics
import sys
import time
from typing import Any, Iterable, Sequence


def percentile(values: Iterable[float], fraction: float) -> float:
    """0 when there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0


def median(values: Iterable[float]) -> float:
    """0 when there are no values."""
    kept = list(values)
    return statistics.median(kept) if kept else 0.0


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure, over the rounds of a row."""
    return {key: round(median(one[key] for one in rounds), 3) for key in (rounds[0] if rounds else ())}


class Report:
    """Prints each row as it is complete with --json, all of them at the end without."""

    def __init__(self, bench: str, as_json: bool) -> None:
        self.bench = bench
        self._json = as_json
        self._begin = time.monotonic()
        self.rows: list[dict[str, Any]] = []
        self.targets: list[dict[str, Any]] = []

    def progress(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    def row(self, **values: Any) -> dict[str, Any]:
        self.rows.append(values)
        if self._json:
            print(json.dumps(values), flush=True)
        return values

    def at_most(self, name: str, target: float, measured: float) -> None:
        self._target(name, f"<= {target:.4g}", measured, measured <= target)

    def at_least(self, name: str, target: float, measured: float) -> None:
        self._target(name, f">= {target:.4g}", measured, measured >= target)

    def _target(self, name: str, target: str, measured: float, met: bool) -> None:
        self.targets.append({"name": name, "target": target, "measured": float(f"{measured:.4g}"),
                             "met": met})

    def finish(self, columns: Sequence[str]) -> None:
        """`columns` are the keys of the rows that people see."""
        if self._json:
            print(json.dumps({"bench": self.bench, "targets": self.targets}))
            return
        _table(columns, [[_text(row.get(key)) for key in columns] for row in self.rows])
        print()
        _table(["target", "wanted", "measured", ""],
               [[t["name"], t["target"], _text(t["measured"]), "met" if t["met"] else "MISSED"]
                for t in self.targets])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else (
        f"{value:.0f}" if isinstance(value, float) else str(value))


def _table(header: Sequence[str], lines: list[list[str]]) -> None:
    widths = [max(len(line[i]) for line in [list(header), *lines]) for i in range(len(header))]
    for line in [list(header), *lines]:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
