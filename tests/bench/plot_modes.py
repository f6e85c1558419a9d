# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of `scripts/bench modes`: latency and throughput, a band for each mode with a lane for
each load."""
import math
from typing import Any, Optional, Sequence

from mode_rows import UNPROTECTED
from svg import Figure

Rows = Sequence[dict[str, Any]]
LATENCIES = (("ping", "ping"), ("light", "9 requests/s to the store"), ("web", "HTTP, one after the other"),
             ("web64", "HTTP, 64 in flight"), ("heavy", "heavy: 64 in flight to the store"))
RATES = (("web64_requests_s", "HTTP, 64 in flight", "requests/s"),
         ("heavy_requests_s", "heavy: 64 in flight to the store", "requests/s"),
         ("sql_tps", "PostgreSQL, one client", "transactions/s"),
         ("sql16_tps", "PostgreSQL, 16 clients", "transactions/s"),
         ("out_mb_s", "TCP from the guest", "MB/s"), ("in_mb_s", "TCP to the guest", "MB/s"))
WIDTH, LEFT, RIGHT, LANE, GAP, HEAD = 900, 180, 60, 13, 14, 44
MOST_PERCENT = 150


class Bands:
    """A band for each row, one below the other, and what they have in common: an axis and a legend."""

    def __init__(self, title: str, axis: str, rows: Rows, legend: Sequence[str]) -> None:
        self._lanes = len(legend)
        self._bottom = HEAD + len(rows) * (self._lanes * LANE + GAP)
        legend_top = self._bottom + 62
        self.figure = Figure(WIDTH, legend_top + 20 * ((self._lanes + 1) // 2))
        self.figure.text(16, 24, title, kind="title")
        self.figure.text((LEFT + WIDTH - RIGHT) / 2, self._bottom + 38, axis, "middle")
        for number, row in enumerate(rows):
            top = HEAD + number * (self._lanes * LANE + GAP)
            self.figure.text(LEFT - 10, top + GAP / 2 + self._lanes * LANE / 2 + 4, str(row["row"]), "end")
            self.figure.line(LEFT, top, WIDTH - RIGHT, top, "grid")
        for number, words in enumerate(legend):
            x, y = 40 + (number % 2) * WIDTH / 2, legend_top + 20 * (number // 2)
            self.figure.bar(x, y - 10, 12, 12, number)
            self.figure.text(x + 20, y, words)

    def tick(self, x: float, words: str) -> None:
        self.figure.line(x, HEAD, x, self._bottom, "grid")
        self.figure.text(x, self._bottom + 18, words, "middle")

    def y(self, row: int, lane: int) -> float:
        """The middle of a lane."""
        return HEAD + row * (self._lanes * LANE + GAP) + GAP / 2 + (lane + 0.5) * LANE

    def render(self) -> str:
        self.figure.line(LEFT, HEAD, LEFT, self._bottom, "axis")
        self.figure.line(LEFT, self._bottom, WIDTH - RIGHT, self._bottom, "axis")
        return self.figure.render()


def latency(rows: Rows) -> str:
    """Dots at p50, lines from there to p99, on a logarithmic axis."""
    loads = [(name, words) for name, words in LATENCIES if any(f"{name}_p50_ms" in row for row in rows)]
    values = [row[f"{name}_{q}_ms"] for row in rows for name, _ in loads for q in ("p50", "p99")
              if row.get(f"{name}_{q}_ms", 0) > 0]
    if not values:
        raise ValueError("no row has a latency")
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(milliseconds: float) -> float:
        power = math.log10(max(milliseconds, 10.0**first))
        return LEFT + (WIDTH - RIGHT - LEFT) * (power - first) / max(1, last - first)
    bands = Bands("Latency that a client sees, by mode: dot p50, line to p99", "ms (logarithmic)", rows,
                  [words for _, words in loads])
    for power in range(first, last + 1):
        bands.tick(x(10.0**power), f"{10.0**power:g}")
    for number, row in enumerate(rows):
        for lane, (name, _) in enumerate(loads):
            if f"{name}_p50_ms" not in row:
                continue
            y, p50, p99 = bands.y(number, lane), x(row[f"{name}_p50_ms"]), x(row[f"{name}_p99_ms"])
            bands.figure.stroke(p50, y, p99, y, lane)
            bands.figure.dot(p50, y, lane)
    return bands.render()


def throughput(rows: Rows) -> str:
    """Bars, percent of the unprotected guest."""
    free: Optional[dict[str, Any]] = next((row for row in rows if row["row"] == UNPROTECTED), None)
    if not free:
        raise ValueError(f"there is no row {UNPROTECTED}")
    loads = [one for one in RATES if free.get(one[0], 0) > 0]
    protected = [row for row in rows if row is not free]

    def x(percent: float) -> float:
        return LEFT + (WIDTH - RIGHT - LEFT) * min(percent, MOST_PERCENT) / MOST_PERCENT
    bands = Bands("Throughput by mode, percent of the unprotected guest", "% of unprotected", protected,
                  [f"{words} (100 % is {free[key]:.3g} {unit})" for key, words, unit in loads])
    for percent in range(0, MOST_PERCENT + 1, 25):
        bands.tick(x(percent), f"{percent}")
    for number, row in enumerate(protected):
        for lane, (key, _, _) in enumerate(loads):
            if key in row:
                share, y = 100 * row[key] / free[key], bands.y(number, lane)
                bands.figure.bar(LEFT, y - LANE / 2 + 1, x(share) - LEFT, LANE - 2, lane)
                bands.figure.text(x(share) + 4, y + 4, f"{share:.0f}")
    return bands.render()
